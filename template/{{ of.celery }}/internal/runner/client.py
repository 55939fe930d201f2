"""Enqueue, look up, cancel and retry jobs, which Celery's workers run.

A job's record (records.py) is what counts; its message tells a worker where to look.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from redis import RedisError

from internal.runner import messages, records
from internal.runner.batches import BATCH, Batches
from internal.runner.definitions import Definition, named_jobs
from internal.runner.durable import without_failures
from internal.runner.errors import (
    EngineUnavailable,
    JobConflict,
    KeyReused,
    NotConfirmed,
    NotEnqueued,
)
from internal.runner.records import Message, Record
from internal.runner.states import ENDED, JobInfo, JobPage, JobQuery, JobState
from internal.runner.task import record_of

P = ParamSpec("P")
T = TypeVar("T")

REQUEST_LIMIT = 10_000
"""How many jobs one request to the API may enqueue: so many take a few seconds."""

_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Batches[tuple[Record, float], JobInfo]] = (
    WeakKeyDictionary()
)


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    """Nothing has to be running yet: connections are made when they are needed."""
    yield


async def check() -> None:
    """Raise `EngineUnavailable` if jobs cannot be enqueued."""
    await _in_thread(_check)


async def enqueue(
    job: Definition,
    *,
    key: str | None = None,
    at: datetime | None = None,
    enqueued_by: str | None = None,
) -> JobInfo:
    """Enqueue a job, to run now or, with a timezone-aware `at`, not before that time.

    The same kind, `key` and input give the job that is already there. Raises `KeyReused` for the
    same key with another input, and `EngineUnavailable`. `enqueued_by` is the client that the job
    and its key belong to.
    """
    record = record_of(job.job_id(key, enqueued_by), job, enqueued_by)
    return await _batches().add((record, at.timestamp() if at else 0.0))


async def enqueue_many(
    jobs: Iterable[Definition] | Mapping[str, Definition],
    *,
    at: datetime | None = None,
    enqueued_by: str | None = None,
) -> list[JobInfo]:
    """Enqueue many jobs, those of a mapping under its keys, and return them in order.

    Raises `KeyReused`, and enqueues nothing, if a key belongs to a job with another input, and
    `NotEnqueued`, which names the jobs that may be missing.
    """
    new = [
        record_of(job.job_id(key, enqueued_by), job, enqueued_by) for key, job in named_jobs(jobs)
    ]
    if isinstance(jobs, Mapping):
        await _in_thread(_require_same, new)
    return await _in_thread(_enqueue_many, new, at.timestamp() if at else 0.0)


async def get(job_id: str) -> JobInfo:
    """Return a job; raise `JobNotFound` or `EngineUnavailable`."""
    return await _in_thread(records.run, records.get(job_id))


async def list_jobs(query: JobQuery) -> JobPage:
    """Return a page of jobs; raise `EngineUnavailable`."""
    if query.cursor and not query.cursor.isdecimal():
        return JobPage(jobs=[])
    one_more = records.list_jobs(replace(query, limit=query.limit + 1))
    found = await _in_thread(records.run, one_more)
    page = found[: query.limit]
    return JobPage(
        jobs=[job for _, job in page], cursor=page[-1][0] if len(found) > query.limit else None
    )


async def cancel(job_id: str) -> JobInfo:
    """Stop a job; raise `JobNotFound`, or `JobConflict` when it has ended."""
    before, job = await _in_thread(records.run, records.cancel(job_id))
    if before in ENDED:
        raise JobConflict(job, "cancelled")
    return job


async def retry(job_id: str) -> JobInfo:
    """Run a failed or cancelled job again, without the steps that are done.

    Raises `JobNotFound`, `JobConflict` or `EngineUnavailable`.
    """
    return await _in_thread(_retry, job_id)


def _check() -> None:
    records.connection().ping()
    messages.check()


def _batches() -> Batches[tuple[Record, float], JobInfo]:
    """Return what enqueues together what is enqueued from this event loop at the same time."""
    return _of_loops.setdefault(asyncio.get_running_loop(), Batches(_enqueue_in_thread))


async def _enqueue_in_thread(new: list[tuple[Record, float]]) -> list[JobInfo | Exception]:
    return await _in_thread(_enqueue_together, new)


def _enqueue_together(new: list[tuple[Record, float]]) -> list[JobInfo | Exception]:
    """Return each job, or the error that it met."""
    jobs, unsent = _create(new)
    for number, job in enumerate(jobs):
        if isinstance(job, RedisError):
            jobs[number] = NotConfirmed(new[number][0].id, f"Redis does not answer: {job}")
    try:
        messages.send_all(list(unsent.values()))
    except EngineUnavailable as error:
        job_ids = [message.id for message in unsent.values()]
        for number, met in zip(unsent, records.withdraw_all(job_ids, error), strict=True):
            if met:
                jobs[number] = met
    return jobs


def _enqueue_many(new: list[Record], due: float) -> list[JobInfo]:
    jobs: list[JobInfo] = []
    with messages.bulk_connection() as connection:
        for first in range(0, len(new), BATCH):
            try:
                jobs += _enqueue_batch(new[first : first + BATCH], due, connection)
            except messages.ERRORS as error:
                raise NotEnqueued([record.id for record in new[len(jobs) :]], error) from error
    return jobs


def _enqueue_batch(batch: list[Record], due: float, connection: Any) -> list[JobInfo]:
    created, unsent = _create([(record, due) for record in batch])
    jobs = []
    for job in created:
        if isinstance(job, Exception):
            raise job
        jobs.append(job)
    if unsent:
        messages.publish_all(connection, unsent.values())
    return jobs


def _create(
    new: list[tuple[Record, float]],
) -> tuple[list[JobInfo | Exception], dict[int, Message]]:
    """Write the records of jobs, each with the time when it is due.

    Return each job, or the error that it met, and by its number the message of each that is due.
    """
    commands = [records.create(record, due) for record, due in new]
    answers: list[Any]
    try:
        answers = records.run_all(commands)
    except RedisError as error:
        answers = [error] * len(commands)
    jobs: list[JobInfo | Exception] = []
    unsent = {}
    for number, ((record, due), command, answer) in enumerate(
        zip(new, commands, answers, strict=True)
    ):
        known = answer if isinstance(answer, RedisError) else command.answer(answer)
        if known is True:
            known = _queued(record)
            if due <= time.time():
                unsent[number] = Message(record.id, record.task, record.queue)
        jobs.append(known or KeyReused(record.id))
    return jobs, unsent


def _queued(record: Record) -> JobInfo:
    return JobInfo(
        id=record.id,
        kind=record.kind,
        state=JobState.QUEUED,
        enqueued_by=record.enqueued_by or None,
    )


def _require_same(new: list[Record]) -> None:
    for first in range(0, len(new), BATCH):
        batch = new[first : first + BATCH]
        known = records.run_all([records.get_input(record.id) for record in batch])
        for record, text in zip(batch, known, strict=True):
            if isinstance(text, RedisError):
                raise text
            if text not in (None, record.input):
                raise KeyReused(record.id)


def _retry(job_id: str) -> JobInfo:
    _, steps = records.run(records.get_steps(job_id))
    before, message, job = records.run(records.revive(job_id, without_failures(steps)))
    if before not in (JobState.FAILED, JobState.CANCELLED):
        raise JobConflict(job, "retried")
    with records.withdrawn_unless_sent(job_id, before):
        messages.send(message)
    return job


async def _in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    loop = asyncio.get_running_loop()
    try:
        return await loop.run_in_executor(_threads(), lambda: function(*args, **kwargs))
    except RedisError as error:
        raise EngineUnavailable(f"Redis does not answer: {error}") from error


@cache
def _threads() -> ThreadPoolExecutor:
    # Of its own: blocking jobs, which may enqueue others, occupy those of the event loop.
    return ThreadPoolExecutor(8, thread_name_prefix="engine")
