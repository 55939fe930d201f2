"""One attempt at a job or a step: what runs it, what it is given, and when it is retried."""

import asyncio
import contextvars
import hashlib
import inspect
import json
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Protocol

from pydantic import BaseModel, JsonValue
from pydantic_core import PydanticSerializationError, to_jsonable_python
from sqlalchemy.ext.asyncio import AsyncSession

from internal.config import get_settings
from internal.errors import PermanentError, Unavailable
from internal.runner import outbox
from internal.runner.backoff import backoff, with_jitter
from internal.runner.context import JobContext
from internal.runner.definitions import Definition, Policy
from internal.runner.errors import DeadlineExceeded, StepFailed
from internal.runner.states import JobInfo, Progress

LOG_INTERVAL = 5.0
"""The least number of seconds between two log lines about a job's progress."""

THREAD_GRACE = 5.0
"""How long, in seconds, blocking code may take to notice that it is to stop."""

OUTAGE_PAUSE = timedelta(seconds=10)
"""The pause, plus or minus jitter, after an attempt for which something was away."""

_log = logging.getLogger(__name__)


class InvalidResult(PermanentError):
    """What a job or a step returned cannot be kept as JSON."""


class Enqueue(Protocol):
    """The function by which a job enqueues another one."""

    def __call__(self, job: Definition, /, *, key: str) -> Awaitable[JobInfo]:
        """Enqueue a job."""


class Attempt(JobContext):
    """The context of one attempt, on every runner."""

    def __init__(self, key: str, attempt: int, enqueue: Enqueue) -> None:
        self.key = key
        self.attempt = attempt
        self.progress: Progress | None = None
        self.stop_requested = False
        self._enqueue = enqueue
        self._loop = asyncio.get_running_loop()
        self._logged = time.monotonic()

    def report(self, done: int, total: int) -> None:
        """Keep the progress, and log it now and then."""
        self.progress = Progress(done=done, total=total)
        if time.monotonic() - self._logged > LOG_INTERVAL:
            self._logged = time.monotonic()
            _log.info("done %d of %d", done, total)
        if self.stop_requested:
            raise asyncio.CancelledError

    async def enqueue(
        self, job: Definition, *, key: str | None = None, session: AsyncSession | None = None
    ) -> JobInfo:
        """Enqueue another job under a key that follows from this one's."""
        different = key or json.dumps(job.input(), sort_keys=True)
        digest = hashlib.sha256(f"{self.key}\n{different}".encode()).hexdigest()[:32]
        if session is None:
            return await self._enqueue(job, key=digest)
        [info] = await outbox.add(session, [(digest, job)])
        return info

    def enqueue_from_thread(self, job: Definition, *, key: str | None = None) -> JobInfo:
        """Do what `enqueue` does, in blocking code."""
        return asyncio.run_coroutine_threadsafe(self.enqueue(job, key=key), self._loop).result()


def deadline_of(policy: Policy, since: float) -> float:
    """Return when the time is over of a job that might begin at `since` (seconds since 1970)."""
    return since + policy.deadline.total_seconds() if policy.deadline else math.inf


@asynccontextmanager
async def within(deadline: float) -> AsyncIterator[None]:
    """Cancel what is done in this context at a time; `DeadlineExceeded` after that."""
    left = None if math.isinf(deadline) else deadline - time.time()
    try:
        async with asyncio.timeout(left) as timeout:
            # Without this, a deadline that has passed would be noticed at the first pause only.
            await asyncio.sleep(0)
            yield
    except TimeoutError as error:
        if timeout.expired():
            raise DeadlineExceeded from error
        raise


async def call(
    function: Callable[..., Any], context: Attempt, limit: timedelta, **arguments: Any
) -> Any:
    """Run a function, in a thread if it blocks, for at most `limit`; `TimeoutError` after that.

    A thread cannot be stopped from outside: it is waited for until it calls `context.report`, but
    no longer than `THREAD_GRACE`.
    """
    try:
        async with asyncio.timeout(limit.total_seconds()) as timeout:
            if inspect.iscoroutinefunction(function):
                return await function(context, **arguments)
            return await _in_thread(function, context, arguments)
    except TimeoutError as error:
        if timeout.expired():
            raise TimeoutError(f"not done within {limit.total_seconds():g} seconds") from error
        raise


async def _in_thread(
    function: Callable[..., Any], context: Attempt, arguments: dict[str, Any]
) -> Any:
    variables = contextvars.copy_context()
    work = asyncio.get_running_loop().run_in_executor(
        None, lambda: variables.run(function, context, **arguments)
    )
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        context.stop_requested = True
        await asyncio.wait({work}, timeout=THREAD_GRACE)
        if work.done():
            # However it ended, it was told to.
            work.exception()
        else:
            _log.warning("the thread goes on: its code did not call ctx.report")
        raise


def to_json(value: Any, name: str) -> JsonValue:
    """Return a value as JSON values; raise `InvalidResult`, which says where it comes from."""
    try:
        result: JsonValue = (
            value.model_dump(mode="json")
            if isinstance(value, BaseModel)
            else to_jsonable_python(value)
        )
        json.dumps(result, allow_nan=False)
    except (PydanticSerializationError, ValueError, TypeError) as error:
        raise InvalidResult(
            f"{name} is a {type(value).__name__}, which cannot be written as JSON ({error}): use"
            " numbers, texts, lists, dictionaries or a pydantic model."
        ) from error
    return result


def describe(error: BaseException) -> str:
    """Return an error's type and message, as a job keeps it."""
    if isinstance(error, StepFailed):
        return str(error)  # The step's own error, which it names.
    return f"{type(error).__name__}: {error}"


def log_failure(name: str, error: Exception) -> None:
    """Log why a job, or the last attempt at a step, has failed: in one line if it was foreseen.

    That is a `PermanentError`, whose text says all, or a step's error, which was logged with it.
    """
    foreseen = isinstance(error, PermanentError | StepFailed)
    _log.error("%s failed: %s", name, describe(error), exc_info=None if foreseen else error)


def pause(duration: timedelta) -> timedelta:
    """Return how long a pause of `duration` lasts: less in tests (`MAX_SLEEP`)."""
    longest = get_settings().max_sleep
    return duration if longest is None else min(duration, timedelta(seconds=longest))


def is_last(error: BaseException, attempt: int, policy: Policy) -> bool:
    """Tell whether a failed attempt is not followed by another one."""
    return isinstance(error, PermanentError) or (counts(error) and attempt >= policy.attempts)


def counts(error: BaseException) -> bool:
    """Tell whether a failed attempt is one of those that the policy allows."""
    return not isinstance(error, Unavailable)


def pause_after(error: BaseException, attempt: int, policy: Policy) -> timedelta:
    """Return the pause after a failed attempt with this number."""
    if not counts(error):
        return pause(with_jitter(OUTAGE_PAUSE))
    return pause(backoff(attempt, policy.first_backoff, policy.max_backoff))
