"""The record of every job, in Redis: what is true of it, whatever happens to its message.

A record is written before its message is sent. A worker takes the job by its record, renews its
lease every half second, and writes down the outcome. A message only tells a worker where to look,
so a second one does no harm, and the sweep (recovery.py) replaces a lost one. A job that waits for
its time has no message.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import JsonValue
from redis import ConnectionError as RedisConnectionError
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from internal.config import get_settings
from internal.runner.errors import EngineUnavailable, JobNotFound, NotConfirmed
from internal.runner.states import JobInfo, JobQuery, JobState, Progress
from internal.runner.steps import Step

T = TypeVar("T")

LEASE_TIMEOUT = 10.0
"""After so many seconds without a renewal, the lease of a running job has expired."""

LEASE_TIMEOUT_WHEN_REDELIVERED = 1.0
"""The same when its message was given back: that the worker is gone is all but certain."""

TIMEOUT = 3.0
"""How long, in seconds, Redis may take to answer."""

BATCH = 1_000
"""How many jobs one step of the sweep changes at most."""

SCRIPT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")
SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Record:
    """What is written when a job is enqueued."""

    id: str
    kind: str
    queue: str
    task: str
    """The name of the Celery task that runs it."""
    input: str
    """JSON: the fields of a job, or the `Call` of a native task."""
    enqueued_by: str = ""


@dataclass(frozen=True)
class Message:
    """What is sent for a job."""

    id: str
    task: str
    queue: str


@dataclass(frozen=True)
class Taken:
    """A job that may be run now."""

    input: str
    attempts: int
    """How many attempts have failed."""
    lost: int
    """How many workers in a row have died while they ran it."""
    progress: Progress | None
    steps: dict[int, Step]
    since: float = math.inf
    """When it might begin for the first time (seconds since 1970); infinite if that is not known."""


@dataclass(frozen=True)
class Later:
    """A job that was not taken, because its queue's rate allows its start at `due` only."""

    due: float


@dataclass(frozen=True)
class Outcome:
    """How a run of a job ended."""

    state: JobState
    result: JsonValue = None
    error: str = ""
    due: float = 0.0
    """When a job that is queued again may run (seconds since 1970)."""
    attempts: int = 0
    """How many attempts have failed."""
    input: str = ""
    """The input of the next run, if it is another one."""


@dataclass(frozen=True)
class Command(Generic[T]):
    """One atomic change of the records, or a question; `run` and the worker's batches do it."""

    args: tuple[str | int, ...]
    answer: Callable[[Any], T]


def create(record: Record, due: float = 0.0) -> Command[JobInfo | bool]:
    """Write the record of a new job: True; the known job; False if that has another input."""

    def answer(raw: list[Any]) -> JobInfo | bool:
        return _info(record.id, raw[1:]) if raw[0] == "same" else raw[0] == "new"

    fields = (record.kind, record.queue, record.task, record.input)
    return Command(("create", record.id, *fields, _ms(due), record.enqueued_by), answer)


def take(
    job_id: str, owner: str, lease_timeout: float, interval: float, record: Record | None
) -> Command[Taken | Later | str]:
    """Make `owner` the one who runs the job, or return why not.

    `interval` is the least number of seconds between two starts in its queue. With a `record`, a
    job that has none gets it.
    """
    fields = (record.kind, record.queue, record.task, record.input) if record else ("",) * 4

    def answer(raw: list[Any]) -> Taken | Later | str:
        match raw:
            case ["taken", steps, text, attempts, lost, progress, since]:
                return Taken(
                    text,
                    int(attempts or 0),
                    int(lost or 0),
                    _progress(progress),
                    _steps(steps),
                    int(since) / 1000 if since else math.inf,
                )
            case ["later", due]:
                return Later(int(due) / 1000)
        return str(raw[0])

    return Command(
        ("take", job_id, owner, _ms(lease_timeout), _ms(interval), _kept(), *fields), answer
    )


def renew(job_id: str, owner: str, progress: Progress | None) -> Command[str]:
    """Renew the lease of the job; it is "held", "lost", or to "cancel"."""
    return Command(("renew", job_id, owner, _dump(progress)), str)


def save(job_id: str, owner: str, number: int, step: Step) -> Command[bool]:
    """Keep a workflow's step; False if the job is no longer `owner`'s."""
    error = "" if step.done else _encodable(step.error or "")
    return Command(("save", job_id, owner, number, json.dumps(step.to_json()), error), bool)


def finish(job_id: str, owner: str, outcome: Outcome, progress: Progress | None) -> Command[bool]:
    """Write down how a run ended; False if the job is no longer `owner`'s."""
    return Command(
        (
            *("finish", job_id, owner, outcome.state.value, _kept(), _dump(progress)),
            *(json.dumps(outcome.result), _encodable(outcome.error), _ms(outcome.due)),
            *(outcome.attempts, outcome.input),
        ),
        bool,
    )


def give_back(
    job_id: str, owner: str, progress: Progress | None, due: float = 0.0
) -> Command[bool]:
    """Queue a job again whose run does not count; with a `due` time, no message follows."""
    return Command(("give_back", job_id, owner, _kept(), _dump(progress), _ms(due)), bool)


def cancel(job_id: str) -> Command[tuple[JobState, JobInfo]]:
    """Stop a job that has not ended; return the state that it had, and the job."""

    def answer(raw: list[Any]) -> tuple[JobState, JobInfo]:
        return _state(job_id, raw[0]), _info(job_id, raw[1:])

    return Command(("cancel", job_id, _kept()), answer)


def revive(job_id: str, steps: Mapping[int, Step]) -> Command[tuple[JobState, Message, JobInfo]]:
    """Queue a failed or cancelled job again, with its steps changed to those given.

    Return the state that it had, the message that is to be sent, and the job.
    """

    def answer(raw: list[Any]) -> tuple[JobState, Message, JobInfo]:
        return _state(job_id, raw[0]), Message(*raw[1]), _info(job_id, raw[2:])

    changes = [
        part for number, step in steps.items() for part in (str(number), json.dumps(step.to_json()))
    ]
    return Command(("revive", job_id, *changes), answer)


def withdraw(job_id: str, state: JobState | None = None) -> Command[bool]:
    """Undo a `create`, or a `revive` from `state`, whose message could not be sent.

    False if the job goes on nevertheless: it has begun, or was enqueued a second time meanwhile.
    """
    return Command(("withdraw", job_id, state.value if state else "", _kept()), bool)


def due() -> Command[list[Message]]:
    """Return the messages that are to be sent for jobs whose time has come."""
    return Command(("due", "", BATCH), _messages)


def lost() -> Command[tuple[list[Message], list[str]]]:
    """Find jobs whose lease has expired, and queues in which a message may be missing."""
    return Command(
        ("lost", "", _ms(LEASE_TIMEOUT), _kept(), BATCH), lambda raw: (_messages(raw[0]), raw[1])
    )


def unannounced(queue: str, waiting: int) -> Command[list[Message]]:
    """Find the jobs of a queue whose message is lost, while so many messages wait in it."""
    return Command(("unannounced", "", queue, waiting, _ms(LEASE_TIMEOUT), BATCH), _messages)


def forget_expired() -> Command[int]:
    """Remove a batch of records that are past their retention, and return how many."""
    return Command(("forget_expired", "", BATCH), int)


def get(job_id: str) -> Command[JobInfo]:
    """Return a job; raise `JobNotFound`."""
    return Command(("get", job_id), lambda raw: _info(job_id, raw))


def get_input(job_id: str) -> Command[str | None]:
    """Return the input of a job, as JSON."""
    return Command(("get_input", job_id), lambda raw: raw)


def get_steps(job_id: str) -> Command[tuple[str, dict[int, Step]]]:
    """Return the input and the steps of a workflow."""
    return Command(("get_steps", job_id), lambda raw: (raw[0], _steps(raw[1])))


def list_jobs(query: JobQuery) -> Command[list[tuple[str, JobInfo]]]:
    """Return the newest jobs that were created before the cursor, each with its own."""
    before = f"({int(query.cursor)}" if query.cursor else "+inf"
    return Command(
        ("list", "", query.state or "", query.kind or "", query.limit, before),
        lambda raw: [(created, _info(job_id, fields)) for job_id, created, *fields in raw],
    )


def run(command: Command[T]) -> T:
    """Do a command; raise `redis.RedisError` if Redis does not answer."""
    redis: Any = connection()
    try:
        answer = redis.evalsha(SHA, 1, prefix(), *command.args)
    except NoScriptError:
        answer = redis.eval(SCRIPT, 1, prefix(), *command.args)
    return command.answer(answer)


def enqueue(record: Record, due: float) -> JobInfo | bool:
    """Do `create`; raise `NotConfirmed` if Redis does not say that it was done."""
    try:
        return run(create(record, due))
    except RedisError as error:
        raise NotConfirmed(record.id, f"Redis does not answer: {error}") from error


@contextmanager
def withdrawn_unless_sent(job_id: str, before: JobState | None = None) -> Iterator[None]:
    """Take back what was enqueued, or retried from a state, if its message cannot be sent.

    Raises `EngineUnavailable`, or `NotConfirmed` if it could not be taken back. A job that goes on
    all the same, for somebody else has enqueued it as well, is no error.
    """
    try:
        yield
    except EngineUnavailable as error:
        [met] = withdraw_all([job_id], error, before)
        if met:
            raise met from error
    except BaseException:
        with suppress(RedisError):
            run(withdraw(job_id, before))
        raise


def withdraw_all(
    job_ids: Sequence[str], error: EngineUnavailable, before: JobState | None = None
) -> list[EngineUnavailable | None]:
    """Take back jobs whose messages could not be sent, and return what each enqueuer is told.

    That is nothing for a job that goes on all the same.
    """
    answers: list[Any]
    try:
        answers = run_all([withdraw(job_id, before) for job_id in job_ids])
    except RedisError as away:
        answers = [away] * len(job_ids)
    return [
        NotConfirmed(job_id, str(error))
        if isinstance(answer, RedisError)
        else EngineUnavailable(f"Nothing was enqueued. {error}")
        if answer
        else None
        for job_id, answer in zip(job_ids, answers, strict=True)
    ]


def run_all(commands: Sequence[Command[Any]], redis: Redis | None = None) -> list[Any]:
    """Send many commands at once, and return their answers, or errors, as Redis gave them."""
    pipeline = (redis or connection()).pipeline(transaction=False)
    for command in commands:
        pipeline.evalsha(SHA, 1, prefix(), *command.args)
    answers: list[Any] = pipeline.execute(raise_on_error=False)
    again = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if again:
        (redis or connection()).script_load(SCRIPT)
        for n, answer in zip(again, run_all([commands[n] for n in again], redis), strict=True):
            answers[n] = answer
    return answers


@cache
def connection() -> Redis:
    """Return this process's connections to the Redis that keeps the records."""
    return connect()


def connect() -> Redis:
    """Return connections of one's own."""
    return Redis.from_url(
        str(get_settings().celery_result_backend),
        decode_responses=True,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        # A connection that broke while idle is made again; a silent server is not asked twice.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )


def prefix() -> str:
    """Return what the keys of this project begin with."""
    return f"{get_settings().celery_task_default_queue}:"


def _info(job_id: str, fields: Sequence[Any]) -> JobInfo:
    kind, state, progress, result, error, enqueued_by = fields
    if state is None:
        raise JobNotFound(job_id)
    return JobInfo(
        id=job_id,
        kind=kind,
        state=state,
        progress=_progress(progress),
        result=json.loads(result) if result else None,
        error=error or None,
        enqueued_by=enqueued_by or None,
    )


def _state(job_id: str, state: str) -> JobState:
    if not state:
        raise JobNotFound(job_id)
    return JobState(state)


def _messages(raw: list[list[str]]) -> list[Message]:
    return [Message(*fields) for fields in raw]


def _steps(raw: list[str]) -> dict[int, Step]:
    pairs = zip(raw[::2], raw[1::2], strict=True)
    return {int(number): Step(**json.loads(step)) for number, step in sorted(pairs)}


def _progress(text: str | None) -> Progress | None:
    return Progress.model_validate_json(text) if text else None


def _dump(progress: Progress | None) -> str:
    return progress.model_dump_json() if progress else ""


def _encodable(text: str) -> str:
    """Return a text that can be sent: an error may quote what is no UTF-8."""
    return text.encode(errors="backslashreplace").decode()


def _kept() -> int:
    return _ms(timedelta(days=get_settings().retention_days).total_seconds())


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
