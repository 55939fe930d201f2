"""The seam between the API and the work: Celery's workers do it, job records tell how it goes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from kombu.exceptions import OperationalError
from redis import RedisError

from internal import job_records
from internal.celery_app import app
from internal.celery_tasks import clean_up, import_contacts, send_email
from internal.job_task import JobTask, send_again
from internal.job_types import (
    CleanUp,
    EngineUnavailable,
    ImportContacts,
    Job,
    JobConflict,
    JobRequest,
    JobState,
    SendEmail,
)

TASKS: dict[type[JobRequest], JobTask] = {
    SendEmail: send_email,
    ImportContacts: import_contacts,
    CleanUp: clean_up,
}


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    """Nothing has to be running yet: connections are made when they are needed."""
    yield


async def check() -> None:
    """Raise `EngineUnavailable` if jobs cannot be enqueued."""
    with _records():
        await asyncio.to_thread(job_records.ping)
    await asyncio.to_thread(_reach_broker)


async def enqueue(request: JobRequest, *, key: str | None = None) -> Job:
    """Enqueue a job; the same kind and key give the job that is already there."""
    job_id = request.job_id(key)
    await asyncio.to_thread(
        TASKS[type(request)].apply_async,
        kwargs=request.model_dump(),
        task_id=job_id,
        ignore_result=True,
    )
    return await get(job_id)


async def get(job_id: str) -> Job:
    """Return a job; raise `JobNotFound`."""
    with _records():
        return await asyncio.to_thread(job_records.get, job_id)


async def cancel(job_id: str) -> Job:
    """Ask a job to stop; raise `JobNotFound`, or `JobConflict` when it has ended."""
    with _records():
        state = await asyncio.to_thread(job_records.cancel, job_id)
    job = await get(job_id)
    if state not in (JobState.QUEUED, JobState.RUNNING):
        raise JobConflict(job, "cancelled")
    return job


async def list_failed(limit: int) -> list[Job]:
    """Return the jobs that failed, the newest first."""
    with _records():
        return await asyncio.to_thread(job_records.list_failed, limit)


async def retry(job_id: str) -> Job:
    """Run a failed or cancelled job again; raise `JobNotFound` or `JobConflict`."""
    with _records():
        state = await asyncio.to_thread(job_records.revive, job_id)
        job = await get(job_id)
        if state not in (JobState.FAILED, JobState.CANCELLED):
            raise JobConflict(job, "retried")
        try:
            await asyncio.to_thread(send_again, job_id)
        except EngineUnavailable:
            await asyncio.to_thread(job_records.withdraw, job_id, state)
            raise
    return job


def _reach_broker() -> None:
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
    except (OperationalError, OSError) as error:
        raise EngineUnavailable(f"The broker does not answer: {error}") from error


@contextmanager
def _records() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise EngineUnavailable(f"Redis does not answer: {error}") from error
