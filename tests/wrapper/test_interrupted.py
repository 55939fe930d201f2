"""A project is as it was after an update that is killed at any moment, or after the next run."""

import importlib
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from tests.kit.moments import Moment, update_with
from tests.kit.trees import Tree
from tests.wrapper.conftest import UNEDITED, Lich

POINTS = 40

pytestmark = pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")


@pytest.fixture(autouse=True)
def what_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what a killed process cannot remove among the tests' own files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture(autouse=True, scope="module")
def compiled_modules() -> None:
    """Have an update's modules compiled: the first process must do no more than the others."""
    importlib.import_module("lich_wrapper.update.plan")


def count_moments(project: Path, log: Path) -> tuple[int | None, int]:
    """Update, and return the exit code and how many moments there were."""

    def note(moment: Moment) -> None:
        log.write_text(str(moment.number))

    return update_with(project, note), int(log.read_text())


def killed_at(project: Path, point: int) -> int | None:
    def kill(moment: Moment) -> None:
        if moment.number == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return update_with(project, kill)


def killed_at_file(project: Path, name: str) -> None:
    """Kill an update just before it puts the new version of a file in its place."""

    def kill(moment: Moment) -> None:
        if moment.call in ("os.link", "os.rename") and moment.arguments[1] == str(project / name):
            os.kill(os.getpid(), signal.SIGKILL)

    assert update_with(project, kill) == -signal.SIGKILL


def restored(project: Tree) -> None:
    """Bring the project back to its last commit, without lich."""
    shutil.rmtree(project.path / ".git/lich-update", ignore_errors=True)
    (project.path / ".git/index.lock").unlink(missing_ok=True)
    project.git("reset", "--quiet", "--hard")
    project.git("clean", "-fdq")


@pytest.mark.slow
def test_a_kill_at_any_of_many_points_loses_nothing(
    lich: Lich, small: Tree, project: Tree, tmp_path: Path
) -> None:
    small.write({"template/run.sh": "run\n", "template/folder/a.txt": "a\n", "template/b": "b\n"})
    small.commit("v1.1.0")
    assert lich("update", project.path).code == 0
    project.write({"plain.txt": "mine\ntwo\nthree\n", "mine/own.txt": "own\n"})
    project.commit()
    small.write(
        {
            "template/plain.txt": "theirs\ntwo\nthree\n",
            "template/name.txt.jinja": None,
            "template/new/deep/file.txt": "new\n",
            "template/new/other.txt": "new\n",
            "template/{{ task_runner }}.txt": "another\n",
            "template/folder/a.txt": None,
            "template/b": None,
        }
    )
    # A change of mode only, a folder that becomes a file, and a file that becomes a folder.
    (small.path / "template/run.sh").chmod(0o755)
    (small.path / "template/folder").rmdir()
    small.write({"template/folder": "a file\n", "template/b/c.txt": "c\n"})
    small.commit("v2.0.0")
    before = project.state()
    code, events = count_moments(project.path, tmp_path / "moments")
    assert code == 3
    after = project.state()
    assert after != before
    assert events >= POINTS

    outcomes = set()
    for number in range(POINTS):
        restored(project)
        assert project.state() == before
        point = 1 + number * (events - 1) // (POINTS - 1)
        code = killed_at(project.path, point)
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


def test_work_done_after_a_kill_is_kept(lich: Lich, small: Tree, project: Tree) -> None:
    small.write({f"template/new{n}.txt": f"new {n}\n" for n in range(5)})
    small.write({"template/plain.txt": "theirs\n", "template/name.txt.jinja": None})
    small.commit("v2.0.0")
    before = project.state()
    killed_at_file(project.path, "new4.txt")
    assert (project.path / "new3.txt").exists()
    project.write({"new1.txt": "mine now\n", "own.txt": "own\n"})

    result = lich("update", project.path)
    assert result.code == 1
    assert "an update that was interrupted is taken back" in result.err
    assert project.read("new1.txt") == "mine now\n"
    assert project.read("own.txt") == "own\n"
    assert project.read("name.txt") == "x\n"
    project.write({"new1.txt": None, "own.txt": None})
    assert project.state() == before


def test_a_file_that_takes_the_place_of_a_folder_after_a_kill_is_kept(
    lich: Lich, small: Tree, project: Tree
) -> None:
    small.write({"template/folder/a.txt": "a\n"})
    small.commit("v1.1.0")
    assert lich("update", project.path).code == 0
    project.commit()
    small.write({"template/folder/a.txt": None, "template/plain.txt": "theirs\n"})
    small.commit("v2.0.0")
    killed_at_file(project.path, "plain.txt")
    assert not (project.path / "folder").exists()
    project.write({"folder": "mine\n"})

    result = lich("update", project.path)
    assert result.code == 1
    assert "changes that no commit holds" in result.err
    assert project.read("folder") == "mine\n"
    assert project.read("plain.txt") == UNEDITED


@pytest.fixture
def interrupted(small: Tree, project: Tree) -> tuple[Tree, tuple[object, ...]]:
    """A project whose update was killed in the middle, and its state before that."""
    small.write({"template/plain.txt": UNEDITED + "theirs\n", "template/name.txt.jinja": None})
    small.write({"template/new/file.txt": "new\n", "template/zoo.txt": "zoo\n"})
    small.commit("v1.1.0")
    (small.path / "template/{{ task_runner }}.txt").chmod(0o755)
    small.commit("v2.0.0")
    before = project.state()
    killed_at_file(project.path, "zoo.txt")
    assert project.read("plain.txt") == UNEDITED + "theirs\n"
    return project, before


Interrupted = tuple[Tree, tuple[object, ...]]


def is_updated(project: Tree) -> bool:
    return "_commit: v2.0.0\n" in project.read(".copier-answers.yml")


def test_the_answers_file_is_replaced_last(interrupted: Interrupted) -> None:
    project, _ = interrupted
    assert not is_updated(project)


def test_a_change_of_mode_only_is_taken_back(lich: Lich, interrupted: Interrupted) -> None:
    project, before = interrupted
    assert (project.path / "temporal.txt").stat().st_mode & 0o100

    lich("update", project.path, "-r", "v1.0.0")
    assert not (project.path / "temporal.txt").stat().st_mode & 0o100
    assert project.state() == before


def test_a_project_that_is_moved_after_an_interruption_is_put_right_where_it_is(
    lich: Lich, interrupted: Interrupted, tmp_path: Path
) -> None:
    project, before = interrupted
    project.path.rename(tmp_path / "moved")
    moved = Tree(tmp_path / "moved", init=False)

    result = lich("update", moved.path, "-r", "v1.0.0")
    assert "an update that was interrupted is taken back first" in result.err
    assert moved.state() == before
    assert lich("update", moved.path).code == 0
    assert is_updated(moved)


def test_a_copy_of_an_interrupted_project_is_put_right_and_the_original_untouched(
    lich: Lich, interrupted: Interrupted, tmp_path: Path
) -> None:
    project, before = interrupted
    copy = Tree(tmp_path / "copy", init=False)
    shutil.copytree(project.path, copy.path, symlinks=True, dirs_exist_ok=True)
    half = {p: p.read_bytes() for p in project.path.rglob("*") if p.is_file()}

    assert lich("update", copy.path).code == 0
    assert is_updated(copy)
    assert half == {p: p.read_bytes() for p in project.path.rglob("*") if p.is_file()}
    lich("update", project.path, "-r", "v1.0.0")
    assert project.state() == before


def test_a_copied_work_tree_that_shares_its_git_folder_is_refused(
    lich: Lich, small: Tree, project: Tree, tmp_path: Path
) -> None:
    project.git("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    small.write({"template/plain.txt": "theirs\n", "template/name.txt.jinja": None})
    small.commit("v2.0.0")
    side = Tree(tmp_path / "side", init=False)
    before = side.state()
    killed_at_file(side.path, "plain.txt")
    shutil.copytree(side.path, tmp_path / "copy")

    refused = lich("update", tmp_path / "copy")
    assert refused.code == 1
    assert f"An update was interrupted in {side.path}" in refused.err
    lich("update", side.path, "-r", "v1.0.0")
    assert side.state() == before


def test_another_project_of_the_repository_is_put_right_too(
    lich: Lich, small: Tree, tmp_path: Path
) -> None:
    around = Tree(tmp_path / "around")
    for name in ("one", "two"):
        lich("init", around.path / name, "--template", small.path, "-l")
    around.commit()
    small.write({"template/plain.txt": "theirs\n", "template/name.txt.jinja": None})
    small.commit("v2.0.0")
    before = around.state()
    killed_at_file(around.path / "one", "plain.txt")
    assert not (around.path / "one/name.txt").exists()

    result = lich("update", around.path / "two", "-r", "v1.0.0")
    assert "an update that was interrupted is taken back first" in result.err
    assert around.state() == before


def test_a_project_that_was_moved_in_its_repository_is_reported(
    lich: Lich, small: Tree, tmp_path: Path
) -> None:
    around = Tree(tmp_path / "around")
    lich("init", around.path / "one", "--template", small.path, "-l")
    around.commit()
    small.write({"template/plain.txt": "theirs\n"})
    small.commit("v2.0.0")
    killed_at_file(around.path / "one", "plain.txt")
    (around.path / "one").rename(around.path / "two")

    refused = lich("update", around.path / "two")
    assert refused.code == 1
    assert "An update of one/ was interrupted" in refused.err


@pytest.mark.parametrize("content", [b"", b'{"top": "/x", "fil', b"[]", b'{"top": 1}', b"\xff"])
def test_a_damaged_record_is_reported_with_the_way_out(
    lich: Lich, interrupted: Interrupted, content: bytes
) -> None:
    project, _ = interrupted
    (project.path / ".git/lich-update/journal.json").write_bytes(content)
    for option in ([], ["--dry-run"]):
        refused = lich("update", project.path, *option)
        assert refused.code == 1
        assert len(refused.err.splitlines()) == 1
        assert "journal.json is damaged" in refused.err
        assert "git restore" in refused.err
    # As it is said there.
    shutil.rmtree(project.path / ".git/lich-update")
    (project.path / ".git/index.lock").unlink()
    project.git("restore", ".")
    project.git("clean", "-fdq")
    assert lich("update", project.path).code == 0
    assert is_updated(project)


def test_a_dry_run_tells_what_it_would_take_back_and_does_not(
    lich: Lich, interrupted: Interrupted
) -> None:
    project, _ = interrupted
    half = {
        p: (p.read_bytes(), p.lstat().st_mtime_ns) for p in project.path.rglob("*") if p.is_file()
    }
    for options in (["--dry-run"], ["--dry-run", "--json"]):
        told = lich("update", project.path, *options)
        assert told.code == 1
        assert "takes it back (puts back name.txt, plain.txt, temporal.txt" in told.err
        assert "removes new/file.txt" in told.err
        assert half == {
            p: (p.read_bytes(), p.lstat().st_mtime_ns)
            for p in project.path.rglob("*")
            if p.is_file()
        }
    assert lich("update", project.path).code == 0


def test_a_git_folder_on_another_file_system_is_no_hindrance(
    lich: Lich, small: Tree, project: Tree, tmp_path: Path
) -> None:
    device = tmp_path.stat().st_dev
    others = [
        folder
        for folder in map(Path, ("/dev/shm", "/var/tmp"))
        if os.access(folder, os.W_OK) and folder.stat().st_dev != device
    ]
    if not others:
        pytest.skip("needs a second file system")
    with tempfile.TemporaryDirectory(dir=others[0]) as elsewhere:
        shutil.move(project.path / ".git", f"{elsewhere}/git")
        (project.path / ".git").write_text(f"gitdir: {elsewhere}/git\n")
        small.write({"template/plain.txt": "theirs\n", "template/new.txt": "new\n"})
        small.commit("v2.0.0")
        before = project.state()
        _, events = count_moments(project.path, tmp_path / "moments")
        after = project.state()
        assert is_updated(project)
        seen = False
        for point in range(events // 2, events + 1, 2):
            shutil.rmtree(f"{elsewhere}/git/lich-update", ignore_errors=True)
            Path(elsewhere, "git/index.lock").unlink(missing_ok=True)
            project.git("reset", "--quiet", "--hard")
            project.git("clean", "-fdq")
            killed_at(project.path, point)
            seen |= any(project.path.glob(".lich-update-*"))
            result = lich("update", project.path)
            assert result.code in (0, 1), f"point {point}: {result}"
            assert project.state() == after, f"point {point}: {result}"
            assert not Path(elsewhere, "git/lich-update").exists()
        assert seen
        assert before != after


def test_a_file_system_without_hard_links_is_no_hindrance(
    lich: Lich, small: Tree, project: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    small.write({"template/plain.txt": "theirs\n", "template/new.txt": "new\n"})
    small.commit("v1.1.0")
    before = project.state()
    killed_at_file(project.path, "plain.txt")
    assert (project.path / "new.txt").exists()
    lich("update", project.path, "-r", "v1.0.0")
    assert project.state() == before
    assert lich("update", project.path).code == 0
    assert project.read("plain.txt") == "theirs\n"
    assert project.git("status", "--porcelain").splitlines() == [
        "M  .copier-answers.yml",
        "A  new.txt",
        "M  plain.txt",
    ]
