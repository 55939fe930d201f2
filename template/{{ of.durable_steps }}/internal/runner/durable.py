"""Durable steps for engines that have none: what a workflow has done is kept in its record."""

import asyncio
import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from internal.errors import PermanentError
from internal.runner.attempts import (
    Attempt,
    Enqueue,
    call,
    counts,
    describe,
    is_last,
    log_failure,
    pause,
    pause_after,
    to_json,
)
from internal.runner.definitions import Workflow
from internal.runner.determinism import Guarded
from internal.runner.signatures import arguments_from_json, arguments_to_json, result_from_json
from internal.runner.steps import NumberedSteps, Step

_log = logging.getLogger(__name__)


def without_failures(steps: Mapping[int, Step]) -> dict[int, Step]:
    """Return the steps that a retry of the workflow need not run again."""
    return {
        number: step if step.error is None else Step(step.name) for number, step in steps.items()
    }


class DurableContext(NumberedSteps):
    """Runs a workflow's steps and keeps what they did; an engine says where, and how it waits."""

    def __init__(
        self, workflow: Workflow, key: str, steps: MutableMapping[int, Step], enqueue: Enqueue
    ) -> None:
        super().__init__(type(workflow).__name__, key, steps)
        self.workflow = workflow
        self._enqueue = enqueue
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
        number, step = self.next_step(function.__name__)
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
                again_in = pause_after(error, context.attempt, policy).total_seconds()
                name = f"{self.workflow.kind}.{step.name}"
                if not done:
                    text = "%s, attempt %d: %s; again in %.1f s"
                    _log.warning(text, name, context.attempt, describe(error), again_in)
                elif not isinstance(error, PermanentError):
                    # Of a `PermanentError`, the workflow's own failure says all, unless it is caught.
                    log_failure(name, error)
                step = replace(
                    step,
                    done=done,
                    error=describe(error),
                    permanent=isinstance(error, PermanentError),
                    attempts=step.attempts + counts(error),
                    due=time.time() + again_in,
                )
            else:
                step = replace(step, done=True, value=value, error=None, attempts=context.attempt)
            await self._keep(number, step)
        return result_from_json(function, step.result())

    async def sleep(self, duration: timedelta) -> None:
        """Wait until the pause, counted from its first run, is over."""
        number, step = self.next_step("sleep")
        if not step.due:
            step = replace(step, due=time.time() + pause(duration).total_seconds())
            await self._keep(number, step)
        if not step.done:
            await self.wait_until(step.due)
            await self._keep(number, replace(step, done=True))

    def current_time(self) -> float:
        """Return the time, in seconds since 1970."""
        return time.time()

    def change(self, number: int, step: Step) -> None:
        """Set what is known of a step; it is kept before the next one begins."""
        super().change(number, step)
        self._unsaved.append(number)

    async def _keep(self, number: int, step: Step) -> None:
        self.change(number, step)
        await self._save_all()

    async def _save_all(self) -> None:
        async with self._saving:
            while self._unsaved:
                number = self._unsaved[0]
                await self.save(number, self.steps[number])
                self._unsaved.remove(number)
