"""Finds what a workflow's `run` must not do: read a clock, draw random numbers, wait for input.

While `run` executes, the interpreter reports every call. A forbidden one that comes from the
project's own code, directly or through a library, raises `NotDeterministic`, which names the line.
Calls that the machinery or `logging` make for their own purposes are allowed.
"""

import asyncio
import random
import subprocess
import sys
import threading
from collections.abc import Coroutine, Generator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from internal.runner.errors import NotDeterministic

_CLOCK, _RANDOM, _SLEEP, _STEP = (
    "use ctx.now()",
    "use ctx.random()",
    "use ctx.sleep()",
    "use a step",
)

# Functions in C by module and name; a method has no module.
_FORBIDDEN: dict[tuple[str | None, str], str] = {
    **{
        (None, f"{kind}.{name}"): _CLOCK
        for kind, name in (
            *(("date", "today"), ("date", "fromtimestamp")),
            *(("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today")),
        )
    },
    **{
        ("time", name): _CLOCK
        for name in (
            *("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"),
            *("localtime", "gmtime", "ctime"),
        )
    },
    ("time", "sleep"): _SLEEP,
    (None, "Random.random"): _RANDOM,
    (None, "Random.getrandbits"): _RANDOM,
    ("posix", "urandom"): _RANDOM,
    **{("posix", name): _STEP for name in ("open", "stat", "listdir", "scandir", "getenv")},
    ("io", "open"): _STEP,
    ("_io", "open"): _STEP,
    ("_socket", "getaddrinfo"): _STEP,
    (None, "socket.connect"): _STEP,
}

# Functions in Python.
_FORBIDDEN_CODE: dict[CodeType, str] = {
    asyncio.sleep.__code__: _SLEEP,
    asyncio.to_thread.__code__: _STEP,
    subprocess.Popen.__init__.__code__: _STEP,
    threading.Thread.start.__code__: _STEP,
}

_RUNNER = str(Path(__file__).parent)
_PROJECT = str(Path(__file__).parent.parent.parent)
_LIBRARIES = tuple({sys.prefix, sys.base_prefix})
_EXEMPT = ("/logging/__init__.py", "/asyncio/base_events.py", "/asyncio/events.py", "/warnings.py")


class SeededRandom(random.Random):
    """The generator of a workflow, which gives the same numbers in every run."""


class Guarded:
    """Awaits a workflow's `run`, and watches it whenever it executes."""

    def __init__(self, run: Coroutine[Any, Any, Any]) -> None:
        self._run = run

    def __await__(self) -> Generator[Any, Any, Any]:
        """Return what `run` returns; raise what it raises, or `NotDeterministic`."""
        send, argument = self._run.send, None
        while True:
            before = sys.getprofile()
            sys.setprofile(_watch)
            try:
                awaited = send(argument)
            except StopIteration as end:
                return end.value
            finally:
                sys.setprofile(before)
            try:
                send, argument = self._run.send, (yield awaited)
            except BaseException as error:  # noqa: BLE001 - it belongs to the workflow
                send, argument = self._run.throw, error


def _watch(frame: FrameType, event: str, function: Any) -> None:
    if event == "c_call":
        # Of a module, a method has none.
        name = (getattr(function, "__module__", None), getattr(function, "__qualname__", ""))
        advice = _FORBIDDEN.get(name)
        caller: FrameType | None = frame
        if isinstance(getattr(function, "__self__", None), SeededRandom):
            return
    elif event == "call":
        advice = _FORBIDDEN_CODE.get(frame.f_code)
        caller = frame.f_back
        name = (None, frame.f_code.co_qualname)
    else:
        return
    if advice is None:
        return
    while caller is not None:
        file = caller.f_code.co_filename
        if file.startswith((_RUNNER, "<frozen")) or file.endswith(_EXEMPT):
            return
        if file.startswith(_PROJECT) and not file.startswith(_LIBRARIES):
            called = ".".join(filter(None, name))
            place = f"{Path(file).relative_to(_PROJECT)}, line {caller.f_lineno}"
            raise NotDeterministic(
                f"{place}: {called}() gives another result when the workflow is run again:"
                f" {advice}."
            )
        caller = caller.f_back
