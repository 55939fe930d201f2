"""What the user does while an update runs is kept, whenever it is, or the update is taken back."""

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lich_wrapper.update import lock
from lich_wrapper.update.plan import Plan, plan_update
from lich_wrapper.update.project import Project
from lich_wrapper.update.route import Request, find_route
from tests.kit.moments import Moment, apply_with
from tests.kit.trees import Tree, snapshot
from tests.wrapper.conftest import UNEDITED, Lich

SAVED = b"saved meanwhile\n"

pytestmark = pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")


@pytest.fixture
def newer(small: Tree, project: Tree) -> Tree:
    """The template with a release after the project that changes, adds and removes files."""
    small.write(
        {
            "template/plain.txt": UNEDITED + "theirs\n",
            "template/new/file.txt": "new\n",
            "template/name.txt.jinja": None,
        }
    )
    small.commit("v2.0.0")
    return small


def at_git_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, action: str
) -> None:
    """Run a shell command once, just before the first git command that fits a pattern."""
    real = shutil.which("git")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text(
        f'#!/bin/sh\ncase "$GIT_INDEX_FILE $*" in {pattern})\n'
        f"if [ ! -e {folder}/done ]; then touch {folder}/done; (unset GIT_INDEX_FILE; "
        f"{action}); fi;; esac\n"
        f'exec {real} "$@"\n'
    )
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


BEFORE_THE_CHECK = "*files.index*update-index*"
AFTER_THE_CHECK = "*lich-update/index*update-index*"


@pytest.mark.parametrize("moment", [BEFORE_THE_CHECK, AFTER_THE_CHECK])
@pytest.mark.parametrize("file", ["plain.txt", "name.txt", "new/file.txt", ".copier-answers.yml"])
def test_a_file_that_is_saved_meanwhile_is_kept_and_named(
    lich: Lich,
    newer: Tree,
    project: Tree,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    moment: str,
) -> None:
    before = snapshot(project.path)
    save = f"mkdir -p {project.path}/new; echo saved meanwhile > {project.path / file}"
    at_git_command(tmp_path, monkeypatch, moment, save)

    result = lich("update", project.path)

    assert result.code == 1, result
    assert result.err.startswith(f"Error: {file} was changed while the update ran"), result
    assert snapshot(project.path) == before | {file: ("file", SAVED)}
    assert not project.git("diff", "--cached", "--name-only")
    assert list(project.path.glob(".git/lich-*")) == []
    assert not (project.path / ".git/index.lock").exists()


def test_a_file_that_is_staged_meanwhile_stays_staged(
    lich: Lich, newer: Tree, project: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = f"cd {project.path}; echo saved meanwhile > plain.txt; git add plain.txt"
    at_git_command(tmp_path, monkeypatch, BEFORE_THE_CHECK, save)

    result = lich("update", project.path)
    assert result.code == 1
    assert "plain.txt was changed while the update ran" in result.err
    assert project.git("status", "--porcelain") == "M  plain.txt"


def test_a_commit_that_is_made_meanwhile_stays_whole(
    lich: Lich, newer: Tree, project: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = f"cd {project.path}; echo saved meanwhile > plain.txt; git commit -qam Mine"
    at_git_command(tmp_path, monkeypatch, BEFORE_THE_CHECK, save)

    result = lich("update", project.path)
    assert result.code == 1
    assert "A commit was made while the update ran" in result.err
    assert project.read("plain.txt") == SAVED.decode()
    assert project.git("status", "--porcelain") == ""
    assert lich("update", project.path).code == 3


def test_another_file_that_is_saved_meanwhile_hinders_nothing(
    lich: Lich, newer: Tree, project: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = f"echo saved meanwhile | tee {project.path}/temporal.txt > {project.path}/own.txt"
    at_git_command(tmp_path, monkeypatch, AFTER_THE_CHECK, save)

    assert lich("update", project.path).code == 0
    assert project.read("plain.txt") == UNEDITED + "theirs\n"
    assert project.read("temporal.txt") == project.read("own.txt") == SAVED.decode()


def by_rename(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.tmp")
    beside.write_bytes(SAVED)
    beside.replace(file)


def by_truncation(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(SAVED)


def by_backup(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    backup = file.with_name(f"{file.name}~")
    if file.exists():
        file.rename(backup)
    file.write_bytes(SAVED)
    backup.unlink(missing_ok=True)


def computed(project: Path, workspace: Path) -> Plan:
    """Compute the update of a project to the newest version."""
    workspace.mkdir()
    found = Project.open(project)
    route = find_route(found.recorded(), Request(), workspace)
    assert route is not None
    return plan_update(found, route, Request(), workspace, keep=True)


def restored(project: Tree, kept: Path) -> None:
    shutil.rmtree(project.path)
    shutil.copytree(kept, project.path, symlinks=True)


@pytest.mark.slow
@pytest.mark.parametrize("way", [by_rename, by_truncation, by_backup, None])
@pytest.mark.parametrize("file", ["plain.txt", "name.txt", "new/file.txt"])
def test_a_save_at_any_moment_is_kept_and_the_rest_is_wholly_old_or_new(
    newer: Tree,
    project: Tree,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    way: Callable[[Path], None] | None,
) -> None:
    if way is None and file.startswith("new"):
        return
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = snapshot(project.path)
    # What is saved before the first write is found by `git status`, whenever that is.
    plan = computed(project.path, tmp_path / "workspace")
    shutil.copytree(project.path, tmp_path / "kept", symlinks=True)
    log = tmp_path / "moments"

    def note(moment: Moment) -> None:
        with log.open("a") as lines:
            lines.write(f"{moment.call} {' '.join(moment.arguments)}\n")

    assert apply_with(plan, note) == 0
    after = snapshot(project.path)
    moments = log.read_text().splitlines()
    first = next(n for n, line in enumerate(moments, 1) if "lich-update" in line)
    # From there on a save is one after the update.
    last = next(
        n for n, line in enumerate(moments, 1) if "os.rename" in line and "/.git/index " in line
    )
    assert last - first > 15

    outcomes = set()
    for number in range(first, last + 1):
        restored(project, tmp_path / "kept")
        # Opened before the update, and written to in the middle of it.
        opened = (project.path / file).open("ab", buffering=0) if way is None else None

        def save(moment: Moment, number: int = number, opened: object = opened) -> None:
            if moment.number == number:
                if way is not None:
                    way(project.path / file)
                else:
                    opened.write(SAVED)  # type: ignore[attr-defined]

        code = apply_with(plan, save)
        if opened is not None:
            opened.close()
        now = snapshot(project.path)
        where = f"before {moments[number - 1]}: {code}"
        outcomes.add(code)
        kept = [name for name, (_, content) in now.items() if SAVED in content]
        assert len(kept) == 1, where
        assert kept[0] in (file, f"{file}.saved"), where
        expected = after if code == 0 else before
        assert {n: c for n, c in now.items() if n not in (file, kept[0])} == {
            n: c for n, c in expected.items() if n != file
        }, where
        assert list(project.path.glob(".git/lich-*")) == [], where
        assert not (project.path / ".git/index.lock").exists(), where
    assert 1 in outcomes


def test_a_second_update_waits_for_the_first(lich: Lich, newer: Tree, project: Tree) -> None:
    held = threading.Event()

    def hold() -> None:
        with lock.locked(Project.open(project.path)):
            held.set()
            time.sleep(0.5)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(10)
    start = time.monotonic()
    assert lich("update", project.path).code == 0
    assert time.monotonic() - start >= 0.4
    other.join()


def test_a_second_update_says_so_if_the_first_takes_long(
    lich: Lich, newer: Tree, project: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_TIMEOUT", 0.2)
    before = project.state()
    with lock.locked(Project.open(project.path)):
        result = lich("update", project.path)
    assert result.code == 1
    assert result.err == (
        f"Error: Another `lich update` is at work in {project.path}: wait for it and try again.\n"
    )
    assert project.state() == before


def test_projects_of_one_repository_update_one_after_the_other(
    lich: Lich, small: Tree, tmp_path: Path
) -> None:
    around = Tree(tmp_path / "around")
    names = [f"apps/{number}" for number in range(4)]
    for name in names:
        lich("init", around.path / name, "--template", small.path, "-l")
    around.commit()
    small.write({"template/plain.txt": "theirs\n", "template/added.txt": "new\n"})
    small.commit("v2.0.0")

    running = [
        subprocess.Popen(
            [sys.executable, "-m", "lich_wrapper", "update", name],
            cwd=around.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in names
    ]
    for process in running:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert around.git("status", "--porcelain").splitlines() == [
        line
        for name in names
        for line in (
            f"M  {name}/.copier-answers.yml",
            f"A  {name}/added.txt",
            f"M  {name}/plain.txt",
        )
    ]


def test_the_same_project_is_updated_once(newer: Tree, project: Tree) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "lich_wrapper", "update"],
            cwd=project.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in running]
    codes = sorted(process.returncode for process in running)
    # The later one finds the project updated, with a result that waits for a commit or as new.
    assert codes in ([0, 0], [0, 1]), said
    assert not any("Errno" in text for text in said)
    assert project.read("plain.txt") == UNEDITED + "theirs\n"
    assert [path.name for path in (project.path / "new").iterdir()] == ["file.txt"]
