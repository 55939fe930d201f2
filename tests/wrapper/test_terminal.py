"""What happens on a real terminal."""

import os
from pathlib import Path

import pytest

from tests.kit.repository import LICH
from tests.kit.terminal import on_a_terminal
from tests.kit.trees import Tree


@pytest.fixture
def command(small: Tree) -> list[str]:
    return [*LICH, "init", "x", "--template", str(small.path)]


def test_unanswered_questions_are_asked(command: list[str], tmp_path: Path) -> None:
    keys = [("name", "Mine\r"), ("task_runner", "\x1b[B\r")]
    code, seen = on_a_terminal(command, tmp_path, os.environ, keys=keys)
    assert code == 0, seen
    answers = (tmp_path / "x/.copier-answers.yml").read_text()
    assert "name: xMine\n" in answers
    assert "task_runner: celery\n" in answers


def test_an_interrupt_while_asking_leaves_nothing(command: list[str], tmp_path: Path) -> None:
    code, seen = on_a_terminal(command, tmp_path, os.environ, keys=[("name", "\x03")])
    assert code == 130, seen
    assert "Traceback" not in seen
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


@pytest.mark.parametrize(("variable", "coloured"), [("NO_COLOR", False), ("UNUSED", True)])
def test_colour_is_used_on_a_terminal_unless_no_color_is_set(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    coloured: bool,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    code, seen = on_a_terminal([*command, "-l"], tmp_path, os.environ | {variable: "1"})
    assert code == 0, seen
    assert ("\x1b[" in seen) is coloured
