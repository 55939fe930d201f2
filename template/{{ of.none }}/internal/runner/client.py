"""Enqueue, look up, cancel and retry jobs, which run as tasks inside the API's own process.

A restart of the API waits for running jobs, then forgets all of them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

from internal.runner import pool
from internal.runner.definitions import Definition, named_jobs
from internal.runner.durable import without_failures
from internal.runner.errors import JobConflict, JobNotFound, KeyReused
from internal.runner.pool import Pool, Run
from internal.runner.states import ENDED, JobInfo, JobPage, JobQuery, JobState
from internal.runner.watchdog import Watchdog

REQUEST_LIMIT = 10_000
"""How many jobs one request to the API may enqueue: so many take a few seconds."""

_pool = Pool()


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    """Let jobs run; at the end, wait for those that still do."""
    global _pool
    _pool = Pool()
    schedules = pool.schedules(enqueue)
    watchdog = Watchdog(asyncio.get_running_loop(), lambda task: _pool.name_of(task))
    watchdog.start()
    yield
    watchdog.end()
    for task in schedules:
        task.cancel()
    await asyncio.gather(*schedules, return_exceptions=True)
    await _pool.drain()


def jobs() -> Pool:
    """Return the jobs that this process knows."""
    return _pool


async def check() -> None:
    """Raise `EngineUnavailable` if jobs cannot be enqueued: here they always can."""


async def enqueue(
    job: Definition,
    *,
    key: str | None = None,
    at: datetime | None = None,
    enqueued_by: str | None = None,
) -> JobInfo:
    """Enqueue a job, to run now or, with a timezone-aware `at`, not before that time.

    The same kind, `key` and input give the job that is already there. Raises `KeyReused` for the
    same key with another input. `enqueued_by` is the client that the job and its key belong to.
    """
    job_id = job.job_id(key, enqueued_by)
    if job_id not in _pool.runs:
        due = at.timestamp() if at else 0.0
        return _pool.start(job_id, job, enqueue, due=due, enqueued_by=enqueued_by)
    _require_same(job_id, job, enqueued_by)
    return _pool.runs[job_id].current()


async def enqueue_many(
    jobs: Iterable[Definition] | Mapping[str, Definition],
    *,
    at: datetime | None = None,
    enqueued_by: str | None = None,
) -> list[JobInfo]:
    """Enqueue many jobs, those of a mapping under its keys, and return them in order.

    Raises `KeyReused`, and enqueues nothing, if a key belongs to a job with another input.
    """
    named = named_jobs(jobs)
    for key, job in named:
        if key and (job_id := job.job_id(key, enqueued_by)) in _pool.runs:
            _require_same(job_id, job, enqueued_by)
    return [await enqueue(job, key=key, at=at, enqueued_by=enqueued_by) for key, job in named]


async def get(job_id: str) -> JobInfo:
    """Return a job; raise `JobNotFound`."""
    return _known(job_id).current()


async def list_jobs(query: JobQuery) -> JobPage:
    """Return a page of jobs."""
    runs = list(reversed(_pool.runs.values()))
    if query.cursor is not None:
        ids = [run.info.id for run in runs]
        runs = runs[ids.index(query.cursor) + 1 :] if query.cursor in ids else []
    wanted = [
        run
        for run in runs
        if query.state in (None, run.info.state) and query.kind in (None, run.info.kind)
    ]
    page = [run.current() for run in wanted[: query.limit]]
    return JobPage(jobs=page, cursor=page[-1].id if len(wanted) > query.limit else None)


async def cancel(job_id: str) -> JobInfo:
    """Stop a job; raise `JobNotFound`, or `JobConflict` when it has ended."""
    run = _known(job_id)
    if run.info.state in ENDED or run.task is None:
        raise JobConflict(run.info, "cancelled")
    run.task.cancel()
    await asyncio.wait([run.task])
    if run.info.state not in ENDED:
        # It was cancelled before its first step.
        run.update(state=JobState.CANCELLED)
    return run.current()


async def retry(job_id: str) -> JobInfo:
    """Run a failed or cancelled job again, without the steps that are done.

    Raises `JobNotFound` or `JobConflict`.
    """
    run = _known(job_id)
    if run.info.state not in (JobState.FAILED, JobState.CANCELLED):
        raise JobConflict(run.info, "retried")
    del _pool.runs[job_id]
    return _pool.start(
        job_id,
        run.definition,
        enqueue,
        steps=without_failures(run.steps),
        enqueued_by=run.info.enqueued_by,
    )


def _known(job_id: str) -> Run:
    try:
        return _pool.runs[job_id]
    except KeyError:
        raise JobNotFound(job_id) from None


def _require_same(job_id: str, job: Definition, enqueued_by: str | None) -> None:
    run = _pool.runs[job_id]
    if run.definition != job or run.info.enqueued_by != enqueued_by:
        raise KeyReused(job_id)
