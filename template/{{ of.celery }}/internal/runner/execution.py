"""One run of a job in a worker: take it, run it, write down the outcome."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from pydantic import ValidationError
from redis import RedisError

from internal.runner import client, records
from internal.runner.attempts import (
    Attempt,
    call,
    counts,
    deadline_of,
    describe,
    is_last,
    log_failure,
    pause_after,
    to_json,
    within,
)
from internal.runner.batches import Records
from internal.runner.definitions import Definition, Job, Workflow
from internal.runner.durable import DurableContext
from internal.runner.errors import DeadlineExceeded
from internal.runner.leases import RENEW_INTERVAL, Held
from internal.runner.records import Outcome
from internal.runner.states import JobState
from internal.runner.steps import Step

SHORT = 2.0
"""A workflow that waits for less than so many seconds stays in its worker."""

SETTLED = 0.1
"""After so many seconds without any activity, a workflow that waits leaves its worker."""

_log = logging.getLogger(__name__)


async def run_definition(definition: type[Definition], held: Held, kept: Records) -> Outcome:
    """Run a job or a workflow, and return how that ended."""
    try:
        job = definition.model_validate_json(held.taken.input)
    except ValidationError as error:
        log_failure(definition.kind, error)
        return Outcome(JobState.FAILED, error=describe(error))
    held.timeout = job.policy.timeout.total_seconds()
    deadline = deadline_of(job.policy, held.taken.since)
    try:
        async with within(deadline):
            outcome = await _run(job, held, kept)
    except DeadlineExceeded as error:
        log_failure(job.kind, error)
        return Outcome(JobState.FAILED, error=describe(error), attempts=held.taken.attempts)
    return replace(outcome, due=min(outcome.due, deadline))


async def _run(job: Definition, held: Held, kept: Records) -> Outcome:
    match job:
        case Workflow():
            return await _run_workflow(job, held, kept)
        case Job():
            return await _run_job(job, held)
    raise TypeError(f"{type(job).__name__} is neither a Job nor a Workflow")


async def _run_job(job: Job, held: Held) -> Outcome:
    number = held.taken.attempts + 1
    attempt = held.reporting = Attempt(held.job_id, number, client.enqueue)
    _log.info("%s begins, attempt %d", job.kind, number)
    try:
        result = await call(job.run, attempt, job.policy.timeout)
        result = to_json(result, f"The result of {type(job).__name__}")
    except Exception as error:  # noqa: BLE001 - whatever it is, the policy decides
        if is_last(error, number, job.policy):
            log_failure(job.kind, error)
            return Outcome(JobState.FAILED, error=describe(error), attempts=number)
        pause = pause_after(error, number, job.policy).total_seconds()
        _log.warning("attempt %d: %s; again in %.1f s", number, describe(error), pause)
        due = time.time() + pause
        attempts = held.taken.attempts + counts(error)
        return Outcome(JobState.QUEUED, error=describe(error), due=due, attempts=attempts)
    return Outcome(JobState.SUCCEEDED, result=result)


async def _run_workflow(workflow: Workflow, held: Held, kept: Records) -> Outcome:
    context = _Context(workflow, held, kept)
    try:
        result = await context.run()
        result = to_json(result, f"The result of {type(workflow).__name__}")
    except asyncio.CancelledError:
        if held.status != "suspend":
            raise
        _log.info("waits until %s", time.strftime("%F %T", time.localtime(context.due)))
        return Outcome(JobState.QUEUED, due=context.due, error=context.error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the job keeps it
        log_failure(workflow.kind, error)
        return Outcome(JobState.FAILED, error=describe(error))
    return Outcome(JobState.SUCCEEDED, result=result)


class _Context(DurableContext):
    """A workflow whose steps are in its record; while all of them wait, it leaves the worker."""

    def __init__(self, workflow: Workflow, held: Held, kept: Records) -> None:
        super().__init__(workflow, held.job_id, held.taken.steps, client.enqueue)
        self.error = ""
        self.due = 0.0
        self._held = held
        self._kept = kept
        self._active = 0
        self._changes = 0
        self._waiting: list[float] = []

    async def save(self, number: int, step: Step) -> None:
        with self._activity():
            self.error = "" if step.done else step.error or ""
            saved = records.save(self._held.job_id, self._held.owner, number, step)
            if not await until_answered(lambda: self._kept.run(saved)):
                self._held.stop("lost")
                raise asyncio.CancelledError

    async def execute(
        self, function: Callable[..., object], context: Attempt, **arguments: object
    ) -> object:
        task = asyncio.current_task()
        if task:
            task.set_name(self._held.job_id)
        with self._activity():
            return await super().execute(function, context, **arguments)

    async def wait_until(self, due: float) -> None:
        if due - time.time() < SHORT:
            with self._activity():
                await asyncio.sleep(max(0.0, due - time.time()))
            return
        self._waiting.append(due)
        self._look_soon()
        try:
            await asyncio.sleep(due - time.time())
        finally:
            self._waiting.remove(due)

    @contextmanager
    def _activity(self) -> Iterator[None]:
        self._active += 1
        self._changes += 1
        try:
            yield
        finally:
            self._active -= 1
            self._look_soon()

    def _look_soon(self) -> None:
        self._changes += 1
        if self._waiting and not self._active:
            asyncio.get_running_loop().call_later(SETTLED, self._look, self._changes)

    def _look(self, changes: int) -> None:
        if changes == self._changes and self._waiting and not self._active:
            self.due = min(self._waiting)
            self._held.stop("suspend")


async def until_answered(command: Callable[[], Awaitable[bool]]) -> bool:
    """Do a command of the records, as soon as Redis answers.

    The command itself finds out whether the job is still this worker's.
    """
    waiting = False
    while True:
        try:
            return await command()
        except RedisError as error:
            if not waiting:
                _log.warning("what the job did cannot be written yet: %s", error)
            waiting = True
            await asyncio.sleep(RENEW_INTERVAL)


async def write_outcome(held: Held, kept: Records, outcome: Outcome) -> None:
    """Write down how a run ended."""
    command = records.finish(held.job_id, held.owner, outcome, held.progress)
    if not await until_answered(lambda: kept.run(command)):
        _log.warning("the outcome is not written: the job is not this worker's any more")


async def give_back(held: Held, kept: Records, due: float = 0.0) -> None:
    """Queue a job again whose run does not count."""
    command = records.give_back(held.job_id, held.owner, held.progress, due)
    await until_answered(lambda: kept.run(command))
