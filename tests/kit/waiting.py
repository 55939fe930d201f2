"""Waiting for what other processes do."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["TIMEOUT", "until", "until_async"]

TIMEOUT = 60.0

Seen = TypeVar("Seen")


def _nothing() -> str:
    return ""


def until(
    look: Callable[[], Seen | None],
    timeout: float = TIMEOUT,
    *,
    describe: Callable[[], str] = _nothing,
    interval: float = 0.05,
) -> Seen:
    """Return what `look` returns as soon as that is true.

    Times are seconds. TimeoutError says what `describe` returns; what `look` raises ends the wait.
    """
    deadline = time.monotonic() + timeout
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(_message(timeout, describe))
        time.sleep(interval)
    return seen


async def until_async(
    condition: Callable[[], bool | Awaitable[bool]],
    timeout: float = TIMEOUT,
    *,
    describe: Callable[[], str] = _nothing,
) -> None:
    """Wait until a condition holds, and let other tasks run; otherwise like `until`."""
    try:
        async with asyncio.timeout(timeout):
            while True:
                holds = condition()
                if await holds if inspect.isawaitable(holds) else holds:
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise TimeoutError(_message(timeout, describe)) from None


def _message(timeout: float, describe: Callable[[], str]) -> str:
    return f"not within {timeout:g} s: {describe()}".rstrip(": ")
