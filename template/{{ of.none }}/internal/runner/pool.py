"""The jobs that this process knows, and the tasks that run them."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim
from pydantic import JsonValue

from internal import logs
from internal.config import get_settings
from internal.runner.attempts import (
    Attempt,
    Enqueue,
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
from internal.runner.definitions import Definition, Job, Workflow
from internal.runner.durable import DurableContext
from internal.runner.registry import registry
from internal.runner.states import JobInfo, JobState
from internal.runner.steps import Step

DRAIN_TIMEOUT = 25.0
"""How long, in seconds, the API waits at its end for jobs that still run."""

KEPT = 10_000
"""How many ended jobs are remembered."""

_log = logging.getLogger(__name__)


@dataclass
class Run:
    """A job that is known here."""

    definition: Definition
    info: JobInfo
    due: float
    """When it may start (seconds since 1970)."""
    steps: dict[int, Step] = field(default_factory=dict)
    attempt: Attempt | None = None
    task: asyncio.Task[None] | None = None

    def update(self, **changes: object) -> None:
        """Change what is known of the job."""
        self.info = self.info.model_copy(update=changes)

    def current(self) -> JobInfo:
        """Return what is known of the job, with its newest progress."""
        if self.attempt and self.attempt.progress:
            self.update(progress=self.attempt.progress)
        return self.info


class Queue:
    """The limits of one queue: how many jobs run side by side, and how many start in a second."""

    def __init__(self, name: str) -> None:
        settings = get_settings()
        self.slots = asyncio.Semaphore(
            settings.queue_concurrency.get(name, settings.worker_concurrency)
        )
        rate = settings.queue_rate.get(name)
        self._interval = 1 / rate if rate else 0.0
        self._next_start = 0.0

    async def wait_for_turn(self) -> None:
        """Wait until the queue's rate allows another start."""
        now = time.monotonic()
        start = max(now, self._next_start)
        self._next_start = start + self._interval
        await asyncio.sleep(start - now)


class Pool:
    """All jobs of this process."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self._ended: deque[Run] = deque()
        self._queues: dict[str, Queue] = {}

    def start(
        self,
        job_id: str,
        definition: Definition,
        enqueue: Enqueue,
        *,
        due: float = 0.0,
        steps: dict[int, Step] | None = None,
        enqueued_by: str | None = None,
    ) -> JobInfo:
        """Run a job in a task of its own; `steps` are those that a workflow has done before."""
        info = JobInfo(
            id=job_id, kind=definition.kind, state=JobState.QUEUED, enqueued_by=enqueued_by
        )
        run = self.runs[job_id] = Run(definition, info, due, steps or {})
        run.task = asyncio.create_task(self._work(run, enqueue), name=job_id)
        run.task.add_done_callback(lambda _: self._forget_oldest(run))
        return info

    async def drain(self) -> None:
        """Wait for jobs that run, for `DRAIN_TIMEOUT` at most, then stop all jobs."""
        running = {run.task for run in self.runs.values() if run.info.state is JobState.RUNNING}
        if running := {task for task in running if task}:
            _log.info("waiting for %d jobs", len(running))
            await asyncio.wait(running, timeout=DRAIN_TIMEOUT)
        tasks = [run.task for run in self.runs.values() if run.task and not run.task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def name_of(self, task: asyncio.Task[Any]) -> str | None:
        """Return the kind and the id of the job that a task runs."""
        run = self.runs.get(task.get_name())
        return f"{run.info.kind} ({run.info.id})" if run else None

    def queue(self, name: str) -> Queue:
        """Return the limits of a queue."""
        if name not in self._queues:
            self._queues[name] = Queue(name)
        return self._queues[name]

    def _forget_oldest(self, ended: Run) -> None:
        self._ended.append(ended)
        while len(self._ended) > KEPT:
            oldest = self._ended.popleft()
            # A job that was retried has another run now.
            if self.runs.get(oldest.info.id) is oldest:
                del self.runs[oldest.info.id]

    async def _work(self, run: Run, enqueue: Enqueue) -> None:
        logs.job_id.set(run.info.id)
        name = type(run.definition).__name__
        try:
            await asyncio.sleep(max(0.0, run.due - time.time()))
            async with within(deadline_of(run.definition.policy, time.time())):
                match run.definition:
                    case Workflow() as workflow:
                        run.update(state=JobState.RUNNING)
                        result = await _Context(workflow, run, self, enqueue).run()
                    case Job() as job:
                        result = await self._run_job(job, run, enqueue)
            run.update(result=to_json(result, f"The result of {name}"), error=None)
        except asyncio.CancelledError:
            run.update(state=JobState.CANCELLED)
            _log.info("cancelled")
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the job keeps it
            run.update(state=JobState.FAILED, error=describe(error))
            log_failure(run.info.kind, error)
        else:
            run.update(state=JobState.SUCCEEDED)
            _log.info("succeeded")

    async def _run_job(self, job: Job, run: Run, enqueue: Enqueue) -> JsonValue:
        queue = self.queue(job.policy.queue)
        attempt = 1
        while True:
            async with queue.slots:
                await queue.wait_for_turn()
                run.update(state=JobState.RUNNING)
                run.attempt = Attempt(run.info.id, attempt, enqueue)
                _log.info("%s begins, attempt %d", job.kind, attempt)
                try:
                    result = await call(job.run, run.attempt, job.policy.timeout)
                    return to_json(result, f"The result of {type(job).__name__}")
                except Exception as error:
                    if is_last(error, attempt, job.policy):
                        raise
                    run.update(state=JobState.QUEUED, error=describe(error))
                    pause = pause_after(error, attempt, job.policy).total_seconds()
                    _log.warning("attempt %d: %s; again in %.1f s", attempt, run.info.error, pause)
                    attempt += counts(error)
                finally:
                    run.current()
            await asyncio.sleep(pause)


class _Context(DurableContext):
    """A workflow whose steps are remembered as long as this process lives."""

    def __init__(self, workflow: Workflow, run: Run, pool: Pool, enqueue: Enqueue) -> None:
        super().__init__(workflow, run.info.id, run.steps, enqueue)
        self._queue = pool.queue(workflow.policy.queue)
        self._run = run

    async def save(self, number: int, step: Step) -> None:
        self._run.update(error=None if step.done else step.error)

    async def wait_until(self, due: float) -> None:
        await asyncio.sleep(max(0.0, due - time.time()))

    async def execute(
        self, function: Callable[..., object], context: Attempt, **arguments: object
    ) -> object:
        if task := asyncio.current_task():
            task.set_name(self.key)
        async with self._queue.slots:
            await self._queue.wait_for_turn()
            return await super().execute(function, context, **arguments)


async def enqueue_on_schedule(
    definition: type[Definition], schedule: str, enqueue: Callable[..., Awaitable[JobInfo]]
) -> None:
    """Enqueue a job whenever its schedule says so, for as long as this is not cancelled."""
    for due in CronSim(schedule, datetime.now(UTC)):
        await asyncio.sleep(max(0.0, due.timestamp() - time.time()))
        await enqueue(definition(), key=f"{due:%Y%m%dT%H%M}")


def schedules(enqueue: Callable[..., Awaitable[JobInfo]]) -> list[asyncio.Task[None]]:
    """Start a task for every schedule of the project."""
    known = registry()
    return [
        asyncio.create_task(enqueue_on_schedule(known.kinds[kind], schedule, enqueue))
        for kind, schedule in known.schedules.items()
    ]
