"""Commands on a terminal of their own."""

import os
import pty
import select
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["on_a_terminal"]


def on_a_terminal(
    command: Sequence[str | Path],
    cwd: Path,
    environment: Mapping[str, str],
    *,
    keys: Sequence[tuple[str, str]] = (),
    enter_when_quiet: bool = False,
    timeout: float = 120,
) -> tuple[int, str]:
    """Run a command on a terminal, and return its exit code and what the terminal showed.

    Each of `keys` is a text and what is typed as soon as the text has appeared. With
    `enter_when_quiet`, Enter is pressed whenever nothing has appeared for a second. After
    `timeout` seconds the command is killed.
    """
    words = [str(word) for word in command]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.execvpe(words[0], words, dict(environment))
    waiting, shown = list(keys), b""
    deadline = time.monotonic() + timeout
    try:
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 1.0)[0]:
                try:
                    part = os.read(terminal, 65_536)
                except OSError:  # on Linux, the end
                    break
                if not part:
                    break
                shown += part
            elif enter_when_quiet:
                os.write(terminal, b"\r")
            if waiting and waiting[0][0].encode() in shown:
                os.write(terminal, waiting.pop(0)[1].encode())
        else:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode(errors="replace")
