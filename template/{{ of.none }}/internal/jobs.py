"""The seam between the API and the work: jobs run as tasks inside the API's own process.

A restart of the API waits for running jobs, then forgets all of them.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from pydantic import JsonValue

from internal.config import get_settings
from internal.job_types import (
    CleanUp,
    ImportContacts,
    Job,
    JobConflict,
    JobNotFound,
    JobRequest,
    JobState,
    SendEmail,
)
from internal.services.contacts import import_contacts
from internal.services.email import send_email
from internal.services.errors import TemporaryError
from internal.services.retention import clean_up

CONCURRENCY = 10
ATTEMPTS = 5
JOB_TIMEOUT = 3600.0
"""How long, in seconds, one attempt at a job may take."""
DRAIN_TIMEOUT = 25.0
"""How long, in seconds, the API waits at its end for jobs that still run."""
KEPT = 10_000
"""How many ended jobs are remembered."""

ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)

_log = logging.getLogger(__name__)


@dataclass
class _Run:
    request: JobRequest
    job: Job
    task: asyncio.Task[None] | None = None

    def update(self, **changes: object) -> None:
        self.job = self.job.model_copy(update=changes)


@dataclass
class _Pool:
    runs: dict[str, _Run] = field(default_factory=dict)
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENCY))


_pool = _Pool()


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    """Let jobs run; at the end, wait for those that still do."""
    global _pool
    _pool = _Pool()
    yield
    unfinished = {run.task for run in _pool.runs.values() if run.task and not run.task.done()}
    if unfinished:
        _log.info("waiting for %d jobs", len(unfinished))
        _, unfinished = await asyncio.wait(unfinished, timeout=DRAIN_TIMEOUT)
    for task in unfinished:
        task.cancel()
    await asyncio.gather(*unfinished, return_exceptions=True)


async def check() -> None:
    """Raise `EngineUnavailable` if jobs cannot be enqueued: here they always can."""


async def enqueue(request: JobRequest, *, key: str | None = None) -> Job:
    """Start a job; the same kind and key give the job that is already there."""
    job_id = request.job_id(key)
    if job_id not in _pool.runs:
        _start(job_id, request)
    return _pool.runs[job_id].job


async def get(job_id: str) -> Job:
    """Return a job; raise `JobNotFound`."""
    return _run(job_id).job


async def cancel(job_id: str) -> Job:
    """Stop a job; raise `JobNotFound`, or `JobConflict` when it has ended."""
    run = _run(job_id)
    if run.job.state in ENDED or run.task is None:
        raise JobConflict(run.job, "cancelled")
    run.task.cancel()
    await asyncio.wait([run.task])
    if run.job.state not in ENDED:
        run.update(state=JobState.CANCELLED)
    return run.job


async def list_failed(limit: int) -> list[Job]:
    """Return the jobs that failed, the newest first."""
    failed = [run.job for run in _pool.runs.values() if run.job.state is JobState.FAILED]
    return failed[::-1][:limit]


async def retry(job_id: str) -> Job:
    """Run a failed or cancelled job again; raise `JobNotFound` or `JobConflict`."""
    run = _run(job_id)
    if run.job.state not in (JobState.FAILED, JobState.CANCELLED):
        raise JobConflict(run.job, "retried")
    del _pool.runs[job_id]
    return _start(job_id, run.request)


def _run(job_id: str) -> _Run:
    try:
        return _pool.runs[job_id]
    except KeyError:
        raise JobNotFound(job_id) from None


def _start(job_id: str, request: JobRequest) -> Job:
    ended = [other for other, run in _pool.runs.items() if run.job.state in ENDED]
    for other in ended[:-KEPT]:
        del _pool.runs[other]
    run = _Run(request, Job(id=job_id, kind=request.kind, state=JobState.QUEUED))
    _pool.runs[job_id] = run
    run.task = asyncio.create_task(_work(run), name=job_id)
    return run.job


async def _work(run: _Run) -> None:
    job_id = run.job.id
    try:
        async with _pool.slots:
            run.update(state=JobState.RUNNING)
            _log.info("job %s started", job_id)
            result = await _attempts(run)
    except asyncio.CancelledError:
        run.update(state=JobState.CANCELLED)
        _log.info("job %s cancelled", job_id)
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the job keeps it
        run.update(state=JobState.FAILED, error=f"{type(error).__name__}: {error}")
        _log.exception("job %s failed", job_id)
    else:
        run.update(state=JobState.SUCCEEDED, result=result)
        _log.info("job %s succeeded", job_id)


async def _attempts(run: _Run) -> JsonValue:
    for attempt in range(1, ATTEMPTS):
        try:
            return await _attempt(run)
        except TemporaryError as error:
            pause = random.uniform(0.5, 1.5) * 2 ** (attempt - 1)  # noqa: S311 - no secret
            _log.warning("job %s: %s; again in %.1f s", run.job.id, error, pause)
            await asyncio.sleep(pause)
    return await _attempt(run)


async def _attempt(run: _Run) -> JsonValue:
    settings = get_settings()
    job_id = run.job.id
    async with asyncio.timeout(JOB_TIMEOUT):
        match run.request:
            case SendEmail(to=to, subject=subject, body=body):
                await send_email(to, subject, body, key=job_id, settings=settings)
                return True
            case ImportContacts(file=file):
                rows = import_contacts(settings.imports_dir / file, settings.data_dir, job_id)
                async with aclosing(rows):
                    async for progress in rows:
                        run.update(progress=progress)
                return {"rows": progress.done}
            case CleanUp():
                return (await clean_up(settings)).model_dump()
            case unknown:
                raise TypeError(f"no work is known for {type(unknown).__name__}")
