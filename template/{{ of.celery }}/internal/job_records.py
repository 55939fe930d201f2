"""The record of every job, in Redis: what is true of it, whatever happens to its message.

A record is written before its message is sent. A worker takes the job by its record, says
every half second that it still runs it, and writes down the outcome; a message only tells
a worker where to look, so a second one does no harm, and the sweep replaces a lost one.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from redis import ConnectionError as RedisConnectionError
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from internal.config import get_settings
from internal.job_types import Job, JobNotFound, JobState
from internal.services.contacts import Progress

SILENCE = 10.0
"""After so many seconds without a word from it, a running job has lost its worker."""

SILENCE_WHEN_REDELIVERED = 1.0
"""The same when its message was given back: that the worker is gone is all but certain."""

TIMEOUT = 3.0
"""How long, in seconds, Redis may take to answer."""

_SCRIPT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")
_BATCH = 1_000


@dataclass(frozen=True)
class Call:
    """What a job's message says: the task, and what it is called with."""

    kind: str
    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    ignore_result: bool = True


@dataclass(frozen=True)
class Outcome:
    """How a run of a job ended."""

    state: JobState
    result: Any = None
    error: str = ""
    due: float = 0.0
    """When a job that is queued again may run."""


def create(job_id: str, call: Call, due: float = 0.0) -> bool:
    """Write the record of a new job; return False if there is one."""
    return bool(_step("create", job_id, _ms(due), json.dumps(vars(call))))


def take(job_id: str, owner: str, silence: float, call: Call) -> str:
    """Make `owner` the one who runs the job: "taken", or the reason why not."""
    return str(_step("take", job_id, owner, _ms(silence), _kept(), json.dumps(vars(call))))


def renew(job_id: str, owner: str, progress: Progress | None) -> str:
    """Say that `owner` still runs the job; it is "held", "lost", or to "cancel"."""
    return str(_step("renew", job_id, owner, _dump(progress)))


def finish(job_id: str, owner: str, outcome: Outcome, progress: Progress | None) -> bool:
    """Write down how a run ended; return False if the job is no longer `owner`'s."""
    return bool(
        _step(
            "finish",
            job_id,
            owner,
            outcome.state.value,
            _kept(),
            _dump(progress),
            json.dumps(outcome.result),
            outcome.error,
            _ms(outcome.due),
        )
    )


def fail(job_id: str, error: str) -> None:
    """Write down that a run was ended from outside its process."""
    _step("fail", job_id, _kept(), error)


def cancel(job_id: str) -> JobState:
    """Stop a job that has not ended, and return the state that it had."""
    return _known(job_id, _step("cancel", job_id, _kept()))


def revive(job_id: str) -> JobState:
    """Queue a failed or cancelled job again, and return the state that it had."""
    return _known(job_id, _step("revive", job_id))


def withdraw(job_id: str, state: JobState | None = None) -> None:
    """Undo a `create`, or a `revive` from `state`, whose message could not be sent."""
    _step("withdraw", job_id, state.value if state else "", _kept())


def sweep(waiting: int) -> list[str]:
    """Return the jobs that need a new message while so many are waiting in the queue."""
    found: list[str] = _step("sweep", "", waiting, _ms(SILENCE), _kept(), _BATCH)
    return found


def get(job_id: str) -> Job:
    """Return a job; raise `JobNotFound`."""
    for job in _jobs([job_id]):
        return job
    raise JobNotFound(job_id)


def get_call(job_id: str) -> Call:
    """Return what a job's message says; raise `JobNotFound`."""
    call = _redis().hget(_key(job_id), "call")
    if not isinstance(call, str):
        raise JobNotFound(job_id)
    return Call(**json.loads(call))


def list_failed(limit: int) -> list[Job]:
    """Return the jobs that failed, the newest first."""
    return list(_jobs(_redis().zrange(f"{_prefix()}failed", 0, limit - 1, desc=True)))


def forget_expired() -> int:
    """Drop those from the list of failed jobs whose records have expired; return how many."""
    return int(_step("forget_expired", "", _kept()))


def ping() -> None:
    """Raise `redis.RedisError` if Redis does not answer."""
    _redis().ping()


def _jobs(job_ids: Iterable[str]) -> Iterator[Job]:
    pipeline = _redis().pipeline(transaction=False)
    for job_id in job_ids:
        pipeline.hgetall(_key(job_id))
    for job_id, record in zip(job_ids, pipeline.execute(), strict=True):
        if record:
            yield Job(
                id=job_id,
                kind=json.loads(record["call"])["kind"],
                state=record["state"],
                progress=Progress.model_validate_json(record["progress"])
                if record.get("progress")
                else None,
                result=json.loads(record.get("result", "null")),
                error=record.get("error") or None,
            )


def _step(name: str, job_id: str, *args: str | int) -> Any:
    return _script()(keys=[_prefix()], args=[name, job_id, *args])


@cache
def _script() -> Any:
    return _redis().register_script(_SCRIPT)


@cache
def _redis() -> Any:
    return Redis.from_url(
        str(get_settings().celery_result_backend),
        decode_responses=True,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        # A connection that broke while idle is made again; a silent server is not asked twice.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )


def _key(job_id: str) -> str:
    return f"{_prefix()}job:{job_id}"


def _prefix() -> str:
    return f"{get_settings().celery_task_default_queue}:"


def _known(job_id: str, state: str | None) -> JobState:
    if state is None:
        raise JobNotFound(job_id)
    return JobState(state)


def _dump(progress: Progress | None) -> str:
    return progress.model_dump_json() if progress else ""


def _kept() -> int:
    return _ms(timedelta(days=get_settings().retention_days).total_seconds())


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
