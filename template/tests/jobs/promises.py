"""Jobs and workflows that do on purpose what goes wrong by accident elsewhere."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel, Field, JsonValue

from internal.config import get_settings
from internal.database import transaction
from internal.models.contacts import Contact
from internal.runner import (
    Job,
    JobContext,
    PermanentError,
    Policy,
    StepFailed,
    Unavailable,
    Workflow,
    WorkflowContext,
)

QUICK = Policy(
    attempts=3,
    first_backoff=timedelta(milliseconds=50),
    max_backoff=timedelta(milliseconds=100),
    timeout=timedelta(seconds=20),
)


def notes(key: str) -> list[str]:
    """Return the lines that were noted under a key: what a job did, in order."""
    path = _notes_of(key)
    return path.read_text().splitlines() if path.exists() else []


def note(key: str, line: str) -> list[str]:
    """Note a line under a key, and return all of them."""
    path = _notes_of(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(f"{line}\n")
    return notes(key)


def _notes_of(key: str) -> Path:
    folder: Path = get_settings().data_dir / "notes"
    return folder / key


class Sum(BaseModel):
    """A result that is a model."""

    total: int


class Add(Job):
    """Add numbers."""

    kind = "test-add"
    policy = QUICK

    numbers: list[int] = Field(default=[1, 2], examples=[[1, 2, 3]])

    async def run(self, ctx: JobContext) -> Sum:
        """Add them, and report each."""
        for done, _ in enumerate(self.numbers, start=1):
            ctx.report(done, len(self.numbers))
        return Sum(total=sum(self.numbers))


class Late(Job):
    """Fail until the deadline."""

    kind = "test-late"
    policy = Policy(
        deadline=timedelta(seconds=1),
        attempts=1_000,
        first_backoff=timedelta(milliseconds=100),
        max_backoff=timedelta(milliseconds=200),
    )

    async def run(self, ctx: JobContext) -> None:
        """Do what the class says."""
        note(ctx.key, f"attempt {ctx.attempt}")
        await asyncio.sleep(0.1)
        raise OSError("not yet")


class Keep(Job):
    """Take any fields."""

    kind = "test-keep"
    policy = QUICK

    data: dict[str, JsonValue] = Field(default={})

    async def run(self, ctx: JobContext) -> dict[str, JsonValue]:
        """Return them."""
        return self.data


class Flaky(Job):
    """Fail some times, then succeed."""

    kind = "test-flaky"
    policy = QUICK

    failures: int = Field(default=2, examples=[2])
    permanent: bool = False

    async def run(self, ctx: JobContext) -> int:
        """Return the number of the attempt that succeeds."""
        note(ctx.key, f"attempt {ctx.attempt}")
        if ctx.attempt <= self.failures:
            ctx.report(ctx.attempt, self.failures)
            error = PermanentError if self.permanent else OSError
            raise error(f"failure {ctx.attempt}")
        return ctx.attempt


class Away(Job):
    """Need what is away at first, more often than there are attempts."""

    kind = "test-away"
    policy = Policy(attempts=2)

    async def run(self, ctx: JobContext) -> int:
        """Return the number of the attempt that succeeds."""
        if len(note(ctx.key, f"attempt {ctx.attempt}")) <= 3:
            raise Unavailable("not there")
        return ctx.attempt


class Store(Job):
    """Write to the database."""

    kind = "test-store"
    policy = Policy(attempts=1)

    async def run(self, ctx: JobContext) -> int:
        """Return the number of the attempt that succeeds."""
        async with transaction() as session:
            session.add(Contact(email=ctx.key, name="Ada"))
        return ctx.attempt


class Wait(Job):
    """Wait until it is cancelled or its time is over."""

    kind = "test-wait"
    policy = Policy(attempts=1, timeout=timedelta(seconds=25))

    def run(self, ctx: JobContext) -> None:
        """Wait, and look every 20 ms whether to stop."""
        note(ctx.key, "begun")
        for tick in range(2_000):
            ctx.report(tick, 2_000)
            time.sleep(0.02)


class WaitAsync(Job):
    """Wait until it is cancelled or its time is over, without blocking."""

    kind = "test-wait-async"
    policy = Policy(attempts=1, timeout=timedelta(seconds=25))

    async def run(self, ctx: JobContext) -> None:
        """Wait."""
        note(ctx.key, "begun")
        ctx.report(1, 2)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            note(ctx.key, "cancelled")
            raise


class Slow(Job):
    """Take longer than allowed."""

    kind = "test-slow"
    policy = Policy(
        attempts=2, timeout=timedelta(milliseconds=100), first_backoff=timedelta(milliseconds=50)
    )

    async def run(self, ctx: JobContext) -> None:
        """Wait for longer than the policy's timeout."""
        note(ctx.key, f"attempt {ctx.attempt}")
        await asyncio.sleep(60)


class Parent(Job):
    """Start other jobs."""

    kind = "test-parent"
    policy = QUICK

    def run(self, ctx: JobContext) -> list[str]:
        """Fail once, after both have been enqueued."""
        children = [
            ctx.enqueue_from_thread(Add(numbers=[1])),
            ctx.enqueue_from_thread(Add(numbers=[2]), key="another"),
        ]
        if ctx.attempt == 1:
            raise OSError("not yet")
        return [child.id for child in children]


class NoJson(Job):
    """Return what is not JSON."""

    kind = "test-no-json"
    policy = QUICK

    async def run(self, ctx: JobContext) -> object:
        """Return an object."""
        note(ctx.key, f"attempt {ctx.attempt}")
        return object()


class Blocking(Job):
    """Block the event loop, as `async def run` must not, until a test has noticed it."""

    kind = "test-blocking"
    policy = QUICK

    async def run(self, ctx: JobContext) -> None:
        """Block, for 30 seconds at most."""
        deadline = time.monotonic() + 30
        while "noticed" not in notes(ctx.key) and time.monotonic() < deadline:
            time.sleep(0.01)  # noqa: ASYNC251 - that is what this is for


class Steps(Workflow):
    """Do steps in a row and side by side, with a long pause between them."""

    kind = "test-steps"
    policy = QUICK

    fail_once: bool = Field(default=True, examples=[True])

    async def run(self, ctx: WorkflowContext) -> dict[str, list[str] | str | float]:
        """Run four steps, two of them side by side."""
        first = await ctx.step(self.write, "first", delay=timedelta(milliseconds=10))
        await ctx.sleep(timedelta(days=3))
        side_by_side = await asyncio.gather(
            ctx.step(self.write, "left"), ctx.step(self.write_blocking, "right")
        )
        try:
            await ctx.step(self.refuse)
        except PermanentError as error:
            refused = str(error)
        try:
            await ctx.step(self.fail)
        except StepFailed as error:
            failed = str(error)
        return {
            "steps": [first, *side_by_side],
            "refused": refused,
            "failed": failed,
            "now": ctx.now().timestamp(),
            "random": ctx.random().random(),
        }

    async def write(self, ctx: JobContext, name: str, delay: timedelta = timedelta(0)) -> str:
        """Note the step, and fail at the first attempt if that is wanted."""
        await asyncio.sleep(delay.total_seconds())
        note(self.key_of(ctx), name)
        if self.fail_once and ctx.attempt == 1:
            raise OSError("not yet")
        return ctx.key

    def write_blocking(self, ctx: JobContext, name: str) -> str:
        """Note the step, in a thread."""
        note(self.key_of(ctx), name)
        return ctx.key

    async def refuse(self, ctx: JobContext) -> None:
        """Fail for good."""
        note(self.key_of(ctx), "refuse")
        raise PermanentError("no")

    async def fail(self, ctx: JobContext) -> None:
        """Fail at every attempt."""
        note(self.key_of(ctx), "fail")
        raise OSError("never")

    @staticmethod
    def key_of(ctx: JobContext) -> str:
        """Return the workflow's id, under which its steps note what they do."""
        return ctx.key.rpartition(".")[0]


class Resumed(Workflow):
    """Fail in the last step, unless that was tried before."""

    kind = "test-resumed"
    policy = QUICK

    async def run(self, ctx: WorkflowContext) -> list[str]:
        """Run two steps, with a pause between them."""
        first = await ctx.step(self.write)
        await ctx.sleep(timedelta(days=3))
        return [first, await ctx.step(self.fail_once)]

    async def write(self, ctx: JobContext) -> str:
        """Note the step."""
        note(Steps.key_of(ctx), "first")
        return ctx.key

    async def fail_once(self, ctx: JobContext) -> str:
        """Fail for good, the first time."""
        if note(Steps.key_of(ctx), "last").count("last") == 1:
            raise PermanentError("not yet")
        return ctx.key


class AwayStep(Workflow):
    """Need what is away at first, in a step."""

    kind = "test-away-step"
    policy = Policy(attempts=2)

    async def run(self, ctx: WorkflowContext) -> int:
        """Run one step."""
        return await ctx.step(self.need)

    async def need(self, ctx: JobContext) -> int:
        """Do what the job does."""
        if len(note(Steps.key_of(ctx), f"attempt {ctx.attempt}")) <= 3:
            raise Unavailable("not there")
        return ctx.attempt


class Clock(Workflow):
    """Look at a clock, as a workflow must not."""

    kind = "test-clock"
    policy = QUICK

    async def run(self, ctx: WorkflowContext) -> float:
        """Return the time, which is another one whenever this is run again."""
        return time.time()
