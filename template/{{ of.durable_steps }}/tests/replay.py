"""Runs a workflow again with the steps that are done, as after an interruption."""

import asyncio
from collections.abc import Mapping

from pydantic import JsonValue

from internal.runner import Definition, JobInfo, Workflow
from internal.runner.attempts import describe, to_json
from internal.runner.durable import DurableContext
from internal.runner.steps import Step


class _Replay(DurableContext):
    """Does nothing: every step must be done already."""

    async def save(self, number: int, step: Step) -> None:
        raise AssertionError(f"{step.name}, its step {number}, was not done before")

    async def wait_until(self, due: float) -> None:
        """Do not wait."""


def replay_steps(
    workflow: Workflow, key: str, steps: Mapping[int, Step], result: JsonValue
) -> str | None:
    """Return what goes wrong when a workflow is run again with its steps, or None."""
    name = type(workflow).__name__
    try:
        again = to_json(asyncio.run(_run(workflow, key, steps)), f"The result of {name}")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what goes wrong
        return f"{name} cannot be run again: {describe(error)}"
    if again != result:
        return (
            f"{name} returned {again} instead of {result} when it was run again: what depends on a"
            " clock, on randomness or on input belongs into a step, or comes from ctx."
        )
    return None


async def _run(workflow: Workflow, key: str, steps: Mapping[int, Step]) -> object:
    return await _Replay(workflow, key, dict(steps), _enqueue).run()


async def _enqueue(job: Definition, /, *, key: str) -> JobInfo:
    raise AssertionError("a step that is done enqueues nothing")
