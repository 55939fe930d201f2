"""Commands and processes: run to their end, stopped, and looked for."""

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.kit.repository import BIN

__all__ = ["CommandFailed", "processes_in", "run", "stop", "user_environment"]


class CommandFailed(AssertionError):
    """A command ended with another code than 0; the text holds what it printed."""


def run(
    *command: str | Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> str:
    """Run a command without input to its end, and return its standard output.

    `environment` replaces this process's own; `timeout` is in seconds. Raises `CommandFailed`.
    """
    done = subprocess.run(
        command, cwd=cwd, env=environment, timeout=timeout, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        words = " ".join(map(str, command))
        printed = f"{done.stdout}{done.stderr}".strip()
        raise CommandFailed(f"`{words}` ended with {done.returncode}:\n{printed}")
    return done.stdout


def stop(
    process: subprocess.Popen[bytes],
    number: signal.Signals = signal.SIGTERM,
    *,
    group: bool = False,
    timeout: float = 60,
    again: float | None = None,
) -> int:
    """Tell a process to end, and return its exit code; tell it `again` after so many seconds.

    With `group` the signal goes to its whole session, as Ctrl-C in a terminal does. One that
    still runs after `timeout` seconds is killed with its session, and TimeoutError raised.
    """
    if process.poll() is None:
        _send(process, number, group)
    try:
        if again is not None:
            try:
                return process.wait(again)
            except subprocess.TimeoutExpired:
                _send(process, number, group)
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        _send(process, signal.SIGKILL, os.getpgid(process.pid) == process.pid)
        process.wait()
        raise TimeoutError(f"it did not stop within {timeout:g} s of {number.name}") from None


def _send(process: subprocess.Popen[bytes], number: signal.Signals, group: bool) -> None:
    if group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)


def user_environment() -> dict[str, str]:
    """Return the environment of a user: without the virtual environment that runs this."""
    own = {"VIRTUAL_ENV", "PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "COVERAGE_FILE"}
    path = os.pathsep.join(part for part in os.get_exec_path() if part != str(BIN))
    return {name: value for name, value in os.environ.items() if name not in own} | {"PATH": path}


def processes_in(folder: Path) -> list[str]:
    """Return the commands of the processes that run in a folder or below it."""
    commands = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                commands.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return commands
