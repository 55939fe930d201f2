"""What callers use: the task runner's own functions, and before them the outbox."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from internal.runner import client, outbox
from internal.runner.definitions import Definition, named_jobs
from internal.runner.errors import JobNotFound
from internal.runner.states import JobInfo, JobPage, JobQuery, JobState


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    """Keep what is needed to enqueue jobs, and hand over those that transactions have committed."""
    async with client.lifespan(), outbox.relay(client.enqueue):
        yield


async def enqueue(
    job: Definition,
    *,
    key: str | None = None,
    at: datetime | None = None,
    enqueued_by: str | None = None,
    session: AsyncSession | None = None,
) -> JobInfo:
    """Enqueue a job, to run now or, with a timezone-aware `at`, not before that time.

    The same kind, `key` and input give the job that is already there. Raises `KeyReused` for the
    same key with another input, and `EngineUnavailable`. `enqueued_by` is the client that the job
    and its key belong to.

    With a `session`, the job exists if, and only if, its transaction commits. The engine may be
    away meanwhile, and what it knows under the same key is found out only when it gets the job.
    """
    if session is None:
        return await client.enqueue(job, key=key, at=at, enqueued_by=enqueued_by)
    [info] = await outbox.add(session, [(key, job)], at=at, enqueued_by=enqueued_by)
    return info


async def enqueue_many(
    jobs: Iterable[Definition] | Mapping[str, Definition],
    *,
    at: datetime | None = None,
    enqueued_by: str | None = None,
    session: AsyncSession | None = None,
) -> list[JobInfo]:
    """Enqueue many jobs, those of a mapping under its keys, and return them in order.

    Raises `KeyReused` for a key that belongs to a job with another input, and `NotEnqueued`, which
    names the jobs that may be missing. A `session` does what it does for `enqueue`.
    """
    if session is None:
        return await client.enqueue_many(jobs, at=at, enqueued_by=enqueued_by)
    return await outbox.add(session, named_jobs(jobs), at=at, enqueued_by=enqueued_by)


async def get(job_id: str) -> JobInfo:
    """Return a job; raise `JobNotFound` or `EngineUnavailable`."""
    try:
        return await client.get(job_id)
    except JobNotFound:
        _require_storable(job_id)
        # Between the two, it may have been handed over.
        return await outbox.find(job_id) or await client.get(job_id)


async def list_jobs(
    *,
    state: JobState | None = None,
    kind: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> JobPage:
    """Return at most `limit` jobs, the newest first; `cursor` is that of the page before.

    Raises `EngineUnavailable`.
    """
    return await client.list_jobs(JobQuery(state, kind, limit, cursor))


async def cancel(job_id: str) -> JobInfo:
    """Stop a job; raise `JobNotFound`, or `JobConflict` when it has ended."""
    try:
        return await client.cancel(job_id)
    except JobNotFound:
        _require_storable(job_id)
        await outbox.hand_over([job_id], client.enqueue)
        return await client.cancel(job_id)


def _require_storable(job_id: str) -> None:
    # Not every database can be asked for such a text.
    if "\0" in job_id:
        raise JobNotFound(job_id)
