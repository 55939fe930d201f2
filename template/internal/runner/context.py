"""What a job's code is given: its idempotency key, its progress, and steps that are durable."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, overload

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from internal.runner.definitions import Definition
    from internal.runner.states import JobInfo

_P = ParamSpec("_P")
_R = TypeVar("_R")


class JobContext(ABC):
    """One attempt at a job, or at a step of a workflow."""

    key: str
    """The same for every attempt: an effect that is recorded under it happens once."""

    attempt: int
    """1 for the first attempt; not counted is one that was lost with its worker, or that raised
    `Unavailable`."""

    @abstractmethod
    def report(self, done: int, total: int) -> None:
        """Show how far the work has come; this is cheap enough to be called for every row.

        Raises `asyncio.CancelledError` in blocking code that is to stop.
        """

    @abstractmethod
    async def enqueue(
        self, job: Definition, *, key: str | None = None, session: AsyncSession | None = None
    ) -> JobInfo:
        """Enqueue another job: once, however often this one is tried.

        Without a `key`, which tells several from each other, the other job's input does. With a
        `session`, the other job exists if, and only if, its transaction commits.
        Raises `EngineUnavailable`.
        """

    @abstractmethod
    def enqueue_from_thread(self, job: Definition, *, key: str | None = None) -> JobInfo:
        """Do what `enqueue` does, in blocking code."""


class WorkflowContext(ABC):
    """One run of a workflow; after an interruption there is another, with the same steps."""

    key: str
    """The workflow's id."""

    @overload
    async def step(
        self,
        function: Callable[Concatenate[JobContext, _P], Coroutine[Any, Any, _R]],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R: ...

    @overload
    async def step(
        self,
        function: Callable[Concatenate[JobContext, _P], _R],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R: ...

    @abstractmethod
    async def step(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run a method of the workflow as a step, by the workflow's policy, and return its result.

        Arguments and result are JSON or pydantic models, as the method's annotations say. Steps
        run side by side with `asyncio.gather`. Raises `PermanentError` if the step did, and
        `StepFailed` if its last attempt failed.
        """

    @abstractmethod
    async def sleep(self, duration: timedelta) -> None:
        """Wait, for days if need be; meanwhile the workflow occupies no worker."""

    @abstractmethod
    def now(self) -> datetime:
        """Return the time in UTC, the same whenever this run is repeated."""

    @abstractmethod
    def random(self) -> random.Random:
        """Return a generator of random numbers, the same whenever this run is repeated."""
