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

__all__ = ["Moment", "update_with"]

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


def update_with(project: Path, act: Callable[[Moment], None], *options: str) -> int | None:
    """Update and call a function at each moment, in the updating process; return its exit code."""
    process = multiprocessing.get_context("fork").Process(
        target=_update, args=(project, act, options)
    )
    process.start()
    process.join(120)
    return process.exitcode


def _update(project: Path, act: Callable[[Moment], None], options: tuple[str, ...]) -> None:
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
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    os._exit(run(["update", *options]))
