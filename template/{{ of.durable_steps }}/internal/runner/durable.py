"""Durable steps for engines that have none: what a workflow has done is kept in its record.

A workflow's `run` starts from its beginning whenever the workflow goes on. A step, a pause and a
time that it asks for are numbered in the order of the calls; what the record already holds under
a number is not done again.
"""

import asyncio
import random
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import JsonValue

from internal.errors import PermanentError
from internal.runner.attempts import (
    Attempt,
    Enqueue,
    backoff,
    call,
    describe,
    is_last,
    pause,
    to_json,
)
from internal.runner.context import WorkflowContext
from internal.runner.definitions import Workflow
from internal.runner.determinism import Guarded, SeededRandom
from internal.runner.errors import NotDeterministic, StepFailed, StepFailedForGood
from internal.runner.signatures import arguments_from_json, arguments_to_json, result_from_json


@dataclass(frozen=True)
class Step:
    """What is kept of one call of `step`, `sleep`, `now` or `random`."""

    name: str
    done: bool = False
    value: JsonValue = None
    """The result, or the time at which a pause began or a time was asked for."""
    error: str | None = None
    permanent: bool = False
    attempts: int = 0
    due: float = 0.0
    """When a pause ends, or the next attempt begins (seconds since 1970)."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return it for a record."""
        return asdict(self)


def without_failures(steps: Mapping[int, Step]) -> dict[int, Step]:
    """Return the steps that a retry of the workflow need not run again."""
    return {
        number: step if step.error is None else Step(step.name) for number, step in steps.items()
    }


class DurableContext(WorkflowContext):
    """Runs a workflow's steps and keeps what they did; an engine says where, and how it waits."""

    def __init__(self, workflow: Workflow, key: str, enqueue: Enqueue) -> None:
        self.key = key
        self.workflow = workflow
        self.steps: MutableMapping[int, Step] = {}
        self._enqueue = enqueue
        self._called = 0
        self._unsaved: list[int] = []
        self._saving = asyncio.Lock()

    async def run(self) -> Any:
        """Run the workflow, with the steps that are done; raise what its `run` raises."""
        return await Guarded(self.workflow.run(self))

    @abstractmethod
    async def save(self, number: int, step: Step) -> None:
        """Keep a step, so that it survives whatever this engine survives."""

    @abstractmethod
    async def wait_until(self, due: float) -> None:
        """Wait until a time, in seconds since 1970."""

    async def execute(
        self, function: Callable[..., Any], context: Attempt, **arguments: Any
    ) -> Any:
        """Run one attempt at a step."""
        return await call(function, context, self.workflow.policy.timeout, **arguments)

    async def step(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run a step, unless it is done already, until it succeeds or has failed for good."""
        number, step = self._next(function.__name__)
        # In a task of its own: what a step does is not the workflow's decision (determinism.py).
        return await asyncio.create_task(self._run_step(number, step, function, args, kwargs))

    async def _run_step(
        self,
        number: int,
        step: Step,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        policy = self.workflow.policy
        # By the same way as from the record, so that the first run is no different.
        arguments = arguments_from_json(function, arguments_to_json(function, args, kwargs))
        while not step.done:
            await self._save_all()
            await self.wait_until(step.due)
            context = Attempt(f"{self.key}.{number}", step.attempts + 1, self._enqueue)
            try:
                result = await self.execute(function, context, **arguments)
                value = to_json(result, f"The result of {type(self.workflow).__name__}.{step.name}")
            except Exception as error:  # noqa: BLE001 - whatever it is, the policy decides
                done = is_last(error, context.attempt, policy)
                again_in = backoff(context.attempt, policy).total_seconds()
                step = replace(
                    step,
                    done=done,
                    error=describe(error),
                    permanent=isinstance(error, PermanentError),
                    attempts=context.attempt,
                    due=time.time() + again_in,
                )
            else:
                step = replace(step, done=True, value=value, error=None, attempts=context.attempt)
            await self._keep(number, step)
        if step.error is not None:
            raise (StepFailedForGood if step.permanent else StepFailed)(step.error)
        return result_from_json(function, step.value)

    async def sleep(self, duration: timedelta) -> None:
        """Wait until the pause, counted from its first run, is over."""
        number, step = self._next("sleep")
        if not step.due:
            step = replace(step, due=time.time() + pause(duration).total_seconds())
            await self._keep(number, step)
        if not step.done:
            await self.wait_until(step.due)
            await self._keep(number, replace(step, done=True))

    def now(self) -> datetime:
        """Return the time at which this was first asked for."""
        number, step = self._next("now")
        if not step.done:
            step = replace(step, done=True, value=time.time())
            # Kept before the next step begins: nothing that follows from it has happened yet.
            self.steps[number] = step
            self._unsaved.append(number)
        return datetime.fromtimestamp(float(str(step.value)), UTC)

    def random(self) -> random.Random:
        """Return a generator that begins anew, with the workflow's id, in every run."""
        number, _ = self._next("random")
        return SeededRandom(f"{self.key}.{number}")

    def _next(self, name: str) -> tuple[int, Step]:
        self._called += 1
        step = self.steps.get(self._called) or Step(name)
        if step.name != name:
            raise NotDeterministic(
                f"{type(self.workflow).__name__} called {name} as its step {self._called}, which was"
                f" {step.name} before: a workflow that has begun needs the same steps in the same"
                " order. Start it again under another key, or bring the old order back."
            )
        return self._called, step

    async def _keep(self, number: int, step: Step) -> None:
        self.steps[number] = step
        self._unsaved.append(number)
        await self._save_all()

    async def _save_all(self) -> None:
        async with self._saving:
            while self._unsaved:
                number = self._unsaved[0]
                await self.save(number, self.steps[number])
                self._unsaved.remove(number)
