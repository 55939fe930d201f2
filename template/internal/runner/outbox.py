"""The outbox: jobs that are enqueued in a transaction, until the task runner has them.

A transaction can commit when the task runner is away, and a process can die between the two. So a
job is first a row that commits or vanishes with all else; then the process that committed it hands
it over and deletes the row. What it does not get to, the relay of any process finds in the table.
A job may be handed over twice, which its key makes harmless; its row goes only when it was.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import uuid4

from pydantic import ValidationError
from sqlalchemy import Select, delete, event, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from internal.database import insert, reading, transaction
from internal.models.outbox import OutboxJob
from internal.runner.backoff import backoff
from internal.runner.definitions import Definition
from internal.runner.errors import EngineUnavailable, KeyReused
from internal.runner.registry import registry
from internal.runner.states import JobInfo, JobState

INTERVAL = 2.0
"""Seconds between two looks for jobs that were left behind."""

GRACE = 5.0
"""For so many seconds, a job is left to the process that enqueued it."""

MAX_BACKOFF = timedelta(seconds=60)
"""The longest backoff, before jitter, after a failed attempt to hand a job to the task runner."""

BATCH = 100
"""How many jobs are handed over side by side."""

LIMIT = 10_000
"""How many jobs a process remembers to hand over at once; others wait for the next look."""

DRAIN_TIMEOUT = 5.0
"""How long, in seconds, the end of a process waits for those."""

_COMMITTED = "outbox"
"""What the session's jobs are kept under, in its `info`."""

_log = logging.getLogger(__name__)


class Enqueue(Protocol):
    """The task runner's own function to enqueue a job."""

    async def __call__(
        self, job: Definition, /, *, key: str, at: datetime | None, enqueued_by: str | None
    ) -> JobInfo:
        """Enqueue a job."""


async def add(
    session: AsyncSession,
    jobs: Iterable[tuple[str | None, Definition]],
    *,
    at: datetime | None = None,
    enqueued_by: str | None = None,
) -> list[JobInfo]:
    """Insert jobs with their keys into the outbox: they exist if the session's transaction commits.

    Raises `KeyReused` for a key that another input was inserted under.
    """
    due = datetime.now(UTC) + timedelta(seconds=GRACE)
    added = []
    for given, job in jobs:
        key = given or uuid4().hex
        job_id = job.job_id(key, enqueued_by)
        text = json.dumps(job.input(), sort_keys=True)
        row = insert(OutboxJob).values(
            id=job_id,
            kind=job.kind,
            key=key,
            enqueued_by=enqueued_by,
            input=text,
            at=at.astimezone(UTC) if at else None,
            due=due,
        )
        inserted = await session.scalar(row.on_conflict_do_nothing().returning(OutboxJob.id))
        if inserted is None:
            known = await session.scalar(select(OutboxJob.input).where(OutboxJob.id == job_id))
            if known not in (None, text):
                raise KeyReused(job_id)
        added.append(
            JobInfo(id=job_id, kind=job.kind, state=JobState.QUEUED, enqueued_by=enqueued_by)
        )
    _hand_over_after_commit(session.sync_session, [job.id for job in added])
    return added


async def find(job_id: str) -> JobInfo | None:
    """Return a job that the task runner does not have yet; raise `DatabaseUnavailable`."""
    async with reading() as session:
        row = await session.get(OutboxJob, job_id)
    if row is None:
        return None
    state = JobState.QUEUED if row.due else JobState.FAILED
    return JobInfo(
        id=row.id, kind=row.kind, state=state, enqueued_by=row.enqueued_by, error=row.error
    )


async def hand_over(job_ids: Collection[str], enqueue: Enqueue) -> None:
    """Hand over those jobs that wait in the outbox.

    Raises `EngineUnavailable` or `DatabaseUnavailable`.
    """
    await _enqueue_rows(await _rows(job_ids), enqueue)


@asynccontextmanager
async def relay(enqueue: Enqueue) -> AsyncIterator[None]:
    """Hand jobs over while the block runs; at its end, those that this process committed."""
    relay = Relay(enqueue)
    working = asyncio.create_task(relay.work(), name="outbox")
    _relays.append(relay)
    try:
        yield
    finally:
        _relays.remove(relay)
        relay.end()
        await asyncio.wait({working}, timeout=DRAIN_TIMEOUT)
        working.cancel()
        await asyncio.wait({working})


async def relay_until_cancelled(enqueue: Enqueue) -> None:
    """Hand jobs over for as long as this is not cancelled."""
    async with relay(enqueue):
        await asyncio.Event().wait()


class Relay:
    """Hands jobs over: those of this process at once, and those that were left behind."""

    def __init__(self, enqueue: Enqueue) -> None:
        self._enqueue = enqueue
        self._loop = asyncio.get_running_loop()
        self._committed: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()

    def notify(self, job_ids: Collection[str]) -> None:
        """Hand over what was committed, also by another thread."""
        with suppress(RuntimeError):  # The loop has ended: another process finds it.
            self._loop.call_soon_threadsafe(self._remember, job_ids)

    def end(self) -> None:
        """Look for nothing more."""
        self._ended.set()
        self._wake.set()

    async def work(self) -> None:
        """Hand over, and look for more, until the end."""
        failures, looked, pause = 0, 0.0, INTERVAL
        while True:
            waited_for = self._ended if failures else self._wake
            with suppress(TimeoutError):
                await asyncio.wait_for(waited_for.wait(), pause)
            self._wake.clear()
            try:
                while job_ids := list(self._committed)[:BATCH]:
                    for job_id in job_ids:
                        del self._committed[job_id]
                    await hand_over(job_ids, self._enqueue)
                if not self._ended.is_set() and time.monotonic() - looked > INTERVAL:
                    while await self.hand_over_due():
                        pass
                    looked = time.monotonic()
                failures, pause = 0, INTERVAL
            except Exception as error:  # noqa: BLE001 - whatever it is, the next round tries again
                failures += 1
                pause = _backoff(failures, INTERVAL).total_seconds()
                reason = f"{type(error).__name__}: {error}"
                _log.warning("jobs wait in the outbox: %s; again in %.1f s", reason, pause)
            if self._ended.is_set() and not self._committed:
                return

    async def hand_over_due(self) -> bool:
        """Hand over a batch of the jobs that were left behind; tell whether there may be more."""
        rows = await _take_due()
        if rows:
            _log.info("%d jobs were left in the outbox", len(rows))
        await _enqueue_rows(rows, self._enqueue)
        return len(rows) == BATCH

    def _remember(self, job_ids: Collection[str]) -> None:
        if len(self._committed) < LIMIT:
            self._committed.update(dict.fromkeys(job_ids))
        self._wake.set()


_relays: list[Relay] = []
"""Those that run in this process."""


def _backoff(attempt: int, first: float) -> timedelta:
    return backoff(attempt, timedelta(seconds=first), MAX_BACKOFF)


async def _enqueue_rows(rows: Sequence[OutboxJob], enqueue: Enqueue) -> None:
    """Enqueue jobs, and delete their rows; raise `EngineUnavailable` if some have to wait."""
    answers = await asyncio.gather(
        *(_enqueue_row(row, enqueue) for row in rows), return_exceptions=True
    )
    done: list[str] = []
    away: EngineUnavailable | None = None
    for row, answer in zip(rows, answers, strict=True):
        match answer:
            case JobInfo():
                done.append(row.id)
            case EngineUnavailable():
                away = answer
            case KeyReused() | ValidationError():
                _log.error("job %s stays in the outbox, for it cannot run: %s", row.id, answer)
                await _note(row.id, answer, for_good=True)
            case _:
                _log.error("job %s has to wait in the outbox: %r", row.id, answer)
                await _note(row.id, answer, for_good=False)
    if done:
        async with transaction() as session:
            await session.execute(delete(OutboxJob).where(OutboxJob.id.in_(done)))
    if away:
        raise away


async def _enqueue_row(row: OutboxJob, enqueue: Enqueue) -> JobInfo:
    definition = registry().kinds.get(row.kind)
    if definition is None:
        raise LookupError(f"this process knows no job of the kind {row.kind!r}")
    job = definition.model_validate_json(row.input)
    # Not every database keeps the time zone; all times are in UTC.
    at = row.at.replace(tzinfo=UTC) if row.at and row.at.tzinfo is None else row.at
    return await enqueue(job, key=row.key, at=at, enqueued_by=row.enqueued_by)


def _hand_over_after_commit(session: Session, job_ids: Collection[str]) -> None:
    session.info.setdefault(_COMMITTED, {}).update(dict.fromkeys(job_ids))
    if not event.contains(session, "after_commit", _after_commit):
        event.listen(session, "after_commit", _after_commit)


def _after_commit(session: Session) -> None:
    # A savepoint's end is no commit, and a job that it took back has no row: `Relay` looks.
    if session.in_nested_transaction():
        return
    job_ids = session.info.pop(_COMMITTED, ())
    if job_ids and _relays:
        _relays[-1].notify(job_ids)


def _waiting() -> Select[OutboxJob]:
    return select(OutboxJob).where(OutboxJob.due.is_not(None))


async def _rows(job_ids: Collection[str]) -> Sequence[OutboxJob]:
    async with reading() as session:
        return (await session.scalars(_waiting().where(OutboxJob.id.in_(job_ids)))).all()


async def _take_due() -> Sequence[OutboxJob]:
    """Return jobs that are due, and put them off for others: for longer each time."""
    now = datetime.now(UTC)
    due = _waiting().where(OutboxJob.due <= now)
    # To look costs no lock.
    async with transaction(read_only=True) as session:
        if not await session.scalar(select(due.exists())):
            return []
    async with transaction() as session:
        due = due.order_by(OutboxJob.due).limit(BATCH).with_for_update(skip_locked=True)
        rows = (await session.scalars(due)).all()
        for row in rows:
            row.attempts += 1
            row.due = now + _backoff(row.attempts, GRACE)
    return rows


async def _note(job_id: str, error: BaseException, *, for_good: bool) -> None:
    values: dict[str, object] = {"error": f"{type(error).__name__}: {error}"}
    if for_good:
        values["due"] = None
    async with transaction() as session:
        await session.execute(update(OutboxJob).where(OutboxJob.id == job_id).values(values))
