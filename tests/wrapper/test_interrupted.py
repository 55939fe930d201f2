"""A project is as it was after an update that is killed at any moment, or after the next run."""

import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from lich_wrapper.cli import run
from tests.kit.trees import Tree
from tests.wrapper.conftest import Lich

POINTS = 30
# What an update does to files and processes, each of which may be the last it does.
EVENTS = {
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "shutil.copyfile",
    "subprocess.Popen",
}


@pytest.fixture(autouse=True)
def what_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what a killed process cannot remove among the tests' own files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def updated(project: Path, stop_at: int | None, count: object) -> None:
    """Update in this process, and kill it at an event."""
    seen = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(arguments[1], str) and "w" in arguments[1]
        if event not in EVENTS and not writes:
            return
        if not any(str(project) in str(word) for word in (*arguments, Path.cwd())):
            return
        seen += 1
        if seen == stop_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    os.chdir(project)
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    code = run(["update"])
    count.value = seen  # type: ignore[attr-defined]
    os._exit(code)


@pytest.fixture(autouse=True, scope="module")
def compiled_modules() -> None:
    """Have an update's modules compiled: the first process must do no more than the others."""
    importlib.import_module("lich_wrapper.update.plan")


def in_a_process(project: Path, stop_at: int | None) -> tuple[int | None, int]:
    context = multiprocessing.get_context("fork")
    count = context.Value("i", 0)
    process = context.Process(target=updated, args=(project, stop_at, count))
    process.start()
    process.join(120)
    return process.exitcode, count.value


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_kill_at_any_of_many_points_loses_nothing(lich: Lich, small: Tree, project: Tree) -> None:
    project.write({"plain.txt": "mine\ntwo\nthree\n", "mine/own.txt": "own\n"})
    project.commit()
    small.write(
        {
            "template/plain.txt": "theirs\ntwo\nthree\n",
            "template/name.txt.jinja": None,
            "template/new/deep/file.txt": "new\n",
            "template/new/other.txt": "new\n",
            "template/{{ task_runner }}.txt": "another\n",
        }
    )
    small.commit("v2.0.0")
    before = project.state()
    code, events = in_a_process(project.path, None)
    assert code == 3
    after = project.state()
    assert after != before
    assert events >= POINTS

    outcomes = set()
    for number in range(POINTS):
        project.git("reset", "--quiet", "--hard")
        project.git("clean", "-fdq")
        assert project.state() == before
        point = 1 + number * (events - 1) // (POINTS - 1)
        code, _ = in_a_process(project.path, point)
        assert code == -signal.SIGKILL, f"point {point}"
        state = project.state()
        outcomes.add("before" if state == before else "after" if state == after else "between")

        result = lich("update", project.path)
        # Where the first run had come to its end there is nothing to do, or the second reports
        # that the result waits for a commit.
        assert result.code in (0, 1, 3), f"point {point}: {result}"
        assert project.state() == after, f"point {point}: {result}"
        assert not list((project.path / ".git").glob("*.lock"))
    assert outcomes == {"before", "between", "after"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_work_done_after_a_kill_is_kept(lich: Lich, small: Tree, project: Tree) -> None:
    small.write({f"template/new{n}.txt": f"new {n}\n" for n in range(5)})
    small.write({"template/plain.txt": "theirs\n", "template/name.txt.jinja": None})
    small.commit("v2.0.0")
    before = project.state()
    point = 0
    while not (project.path / "new3.txt").exists() or (project.path / ".git/index.lock").exists():
        project.git("reset", "--quiet", "--hard")
        project.git("clean", "-fdq")
        point += 1
        in_a_process(project.path, point)
    project.write({"new1.txt": "mine now\n", "own.txt": "own\n"})

    result = lich("update", project.path)
    assert result.code == 1
    assert "an update that was interrupted is taken back" in result.err
    assert project.read("new1.txt") == "mine now\n"
    assert project.read("own.txt") == "own\n"
    assert project.read("name.txt") == "x\n"
    project.write({"new1.txt": None, "own.txt": None})
    assert project.state() == before
