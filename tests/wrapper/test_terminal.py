"""What happens on a real terminal."""

import os
import pty
import select
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.wrapper.files import Tree


def on_a_terminal(
    command: list[str], keys: list[tuple[str, bytes]], cwd: Path, **variables: str
) -> tuple[int, str]:
    """Run a command on a terminal; press keys whenever a text has appeared."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.environ.update(variables)
        os.execv(sys.executable, [sys.executable, *command])
    seen = b""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:
                break
        if keys and keys[0][0].encode() in seen:
            os.write(terminal, keys.pop(0)[1])
    else:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), seen.decode(errors="replace")


@pytest.fixture
def command(small: Tree) -> list[str]:
    return ["-m", "lich_wrapper", "init", "x", "--template", str(small.path)]


def test_what_no_option_answers_is_asked(command: list[str], tmp_path: Path) -> None:
    keys = [("name", b"Mine\r"), ("task_runner", b"\x1b[B\r")]
    code, seen = on_a_terminal([*command], keys, tmp_path)
    assert code == 0, seen
    answers = (tmp_path / "x/.copier-answers.yml").read_text()
    assert "name: xMine\n" in answers
    assert "task_runner: celery\n" in answers


def test_an_interrupt_while_asking_leaves_nothing(command: list[str], tmp_path: Path) -> None:
    code, seen = on_a_terminal(command, [("name", b"\x03")], tmp_path)
    assert code == 130, seen
    assert "Traceback" not in seen
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


@pytest.mark.parametrize(("variable", "coloured"), [("NO_COLOR", False), ("UNUSED", True)])
def test_colour_is_for_terminals_that_want_it(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    coloured: bool,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    code, seen = on_a_terminal([*command, "-l"], [], tmp_path, **{variable: "1"})
    assert code == 0, seen
    assert ("\x1b[" in seen) is coloured
