"""Runs an update in a process of its own, and does something at one of its moments.

A moment is what the process does next to a file of the project, or a process that it starts.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lich_wrapper.cli import run
from lich_wrapper.errors import LichError
from lich_wrapper.update.plan import Plan

__all__ = ["Moment", "apply_with", "update_with"]

_EVENTS = {
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "shutil.copyfile",
    "subprocess.Popen",
}


@dataclass(frozen=True)
class Moment:
    """What the process does next: a number from 1 on, the call and its arguments."""

    number: int
    call: str
    arguments: tuple[str, ...]


def update_with(
    project: Path, act: Callable[[Moment], None], *options: str, output: Path | None = None
) -> int | None:
    """Update and call a function at each moment, in the updating process; return its exit code.

    What the update prints to its standard output is written to `output`.
    """
    return _watched(project, act, lambda: run(["update", *options]), output)


def apply_with(plan: Plan, act: Callable[[Moment], None]) -> int | None:
    """Apply a computed plan, and call a function at each moment, as `update_with` does.

    Returns the exit code, 0 or 1.
    """
    return _watched(plan.project.path, act, lambda: _apply(plan))


def _apply(plan: Plan) -> int:
    try:
        plan.apply()
    except LichError:
        return 1
    return 0


def _watched(
    project: Path,
    act: Callable[[Moment], None],
    work: Callable[[], int],
    output: Path | None = None,
) -> int | None:
    process = multiprocessing.get_context("fork").Process(
        target=_watch, args=(project, act, work, output)
    )
    process.start()
    process.join(120)
    return process.exitcode


def _watch(
    project: Path, act: Callable[[Moment], None], work: Callable[[], int], output: Path | None
) -> None:
    number = 0
    acting = False

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal number, acting
        writes = event == "open" and isinstance(arguments[1], str) and "w" in arguments[1]
        if acting or (event not in _EVENTS and not writes):
            return
        if not any(str(project) in str(word) for word in (*arguments, Path.cwd())):
            return
        number += 1
        acting = True
        act(Moment(number, event, tuple(map(str, arguments))))
        acting = False

    sys.addaudithook(watch)
    os.chdir(project)
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT) if output is not None else devnull, 1)
    os.dup2(devnull, 2)
    os._exit(work())
