"""The steps of a workflow, which are numbered in the order in which its `run` asks for them.

A workflow's `run` starts from its beginning whenever the workflow goes on, and asks for the same
steps again. What is already known under a step's number is not done again.
"""

import random
from abc import abstractmethod
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from pydantic import JsonValue

from internal.runner.context import WorkflowContext
from internal.runner.determinism import SeededRandom
from internal.runner.errors import NotDeterministic, StepFailed, StepFailedForGood


@dataclass(frozen=True)
class Step:
    """What is known of one call of `step`, `sleep`, `now` or `random`."""

    name: str
    done: bool = False
    value: JsonValue = None
    """The result, or the time that was asked for."""
    error: str | None = None
    permanent: bool = False
    attempts: int = 0
    due: float = 0.0
    """When a pause ends, or the next attempt begins (seconds since 1970)."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return it for a record."""
        return asdict(self)

    def result(self) -> JsonValue:
        """Return the result of a step that is done, or raise the error of its last attempt."""
        if self.error is not None:
            raise (StepFailedForGood if self.permanent else StepFailed)(self.error)
        return self.value


class NumberedSteps(WorkflowContext):
    """Numbers a workflow's steps, and answers what needs no waiting."""

    def __init__(self, workflow: str, key: str, steps: MutableMapping[int, Step]) -> None:
        """`workflow` is the name of its class, and `steps` are those of the runs before."""
        self.key = key
        self.steps = steps
        self._workflow = workflow
        self._called = 0

    @abstractmethod
    def current_time(self) -> float:
        """Return the time, in seconds since 1970."""

    def change(self, number: int, step: Step) -> None:
        """Set what is known of a step; it need not be kept before the next one begins."""
        self.steps[number] = step

    def next_step(self, name: str) -> tuple[int, Step]:
        """Return the number of the step that is asked for now, and what is known of it."""
        self._called += 1
        step = self.steps.setdefault(self._called, Step(name))
        if step.name != name:
            raise NotDeterministic(
                f"{self._workflow} called {name} as its step {self._called}, which was {step.name}"
                " before: a workflow that has begun needs the same steps in the same order. Start"
                " it again under another key, or bring the old order back."
            )
        return self._called, step

    def now(self) -> datetime:
        """Return the time at which this was first asked for."""
        number, step = self.next_step("now")
        if not step.done:
            step = replace(step, done=True, value=self.current_time())
            self.change(number, step)
        return datetime.fromtimestamp(float(str(step.value)), UTC)

    def random(self) -> random.Random:
        """Return a generator that begins anew, with the workflow's id, in every run."""
        number, _ = self.next_step("random")
        return SeededRandom(f"{self.key}.{number}")
