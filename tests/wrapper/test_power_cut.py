"""After a power cut in an update the project is as it was or updated, or is put right.

An update is recorded: before each of its calls all files are copied as the
disk would hold them if the power failed then, that is without what was written and not synced. The
disk is taken for one that keeps the order of renames and the like, as journaling file systems do,
and, in two more ways, for one that has kept only those in the work tree or only those of git.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from lich_wrapper.update.journal import roll_back
from lich_wrapper.update.project import Project
from tests.kit.moments import Moment, update_with
from tests.kit.trees import Tree, snapshot
from tests.wrapper.conftest import UNEDITED, Lich

POINTS = 200

Look = tuple[int, int]


class Recorder:
    """Copies a project as a power cut would leave it, each time it is asked to."""

    def __init__(self, project: Path, cuts: Path) -> None:
        self.project, self.cuts = project, cuts
        self.number = 0
        # What each inode held when it was synced last.
        self.synced: dict[int, Look] = {
            found.st_ino: _look(found) for found in map(os.lstat, project.rglob("*"))
        }
        cuts.mkdir()
        shutil.copytree(project, cuts / "first", symlinks=True)
        self.git: Path | None = None

    def sync(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        self.synced[found.st_ino] = _look(found)

    def cut(self) -> None:
        self.number += 1
        whole = self.cuts / f"{self.number}-all"
        shutil.copytree(self.project, whole, symlinks=True)
        for path in self.project.rglob("*"):
            # git syncs its objects itself.
            if path.is_symlink() or not path.is_file() or "objects" in path.parts:
                continue
            if self.synced.get(path.stat().st_ino) != _look(path.stat()):
                (whole / path.relative_to(self.project)).write_bytes(b"")
        if not self._is_replacing():
            return
        # Up to the first replacement all of it was synced.
        self.git = self.git or whole / ".git"
        # The two by turns: one moment differs little from the next.
        kept = "git" if self.number % 2 else "tree"
        cut = self.cuts / f"{self.number}-{kept}-only"
        base, git = (self.cuts / "first", whole / ".git") if kept == "git" else (whole, self.git)
        shutil.copytree(base, cut, symlinks=True, ignore=_without_git)
        shutil.copytree(git, cut / ".git", symlinks=True)

    def _is_replacing(self) -> bool:
        """Tell whether the record is on the disk, and the new index is not in its place."""
        folder = self.project / ".git/lich-update"
        return (folder / "journal.json").exists() and (folder / "index").exists()


def _without_git(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == ".git"]


def _look(found: os.stat_result) -> Look:
    return found.st_size, found.st_mtime_ns


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_power_cut_at_any_of_many_points_loses_nothing(
    lich: Lich, small: Tree, project: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    small.write({f"template/many/{n}.txt": f"{n}\n" for n in range(14)})
    small.write({"template/run.sh": "run\n", "template/folder/a.txt": "a\n", "template/b": "b\n"})
    small.commit("v1.1.0")
    assert lich("update", project.path).code == 0
    project.write({"plain.txt": "mine\n" + UNEDITED, "own.txt": "own\n"})
    project.commit()
    small.write({f"template/many/{n}.txt": f"{n}\n" * 2 for n in range(7)})
    small.write({f"template/new/{n}.txt": f"new {n}\n" for n in range(7)})
    small.write({f"template/many/{n}.txt": None for n in range(7, 14)})
    small.write({"template/folder/a.txt": None, "template/b": None})
    (small.path / "template/run.sh").chmod(0o755)
    (small.path / "template/folder").rmdir()
    small.write({"template/folder": "a file\n", "template/b/c.txt": "c\n"})
    small.write({"template/plain.txt": UNEDITED + "theirs\n"})
    small.commit("v2.0.0")
    before, old_index = snapshot(project.path), project.git("ls-files", "--stage")
    recorder = Recorder(project.path, tmp_path / "cuts")
    fsync = os.fsync

    def fsync_and_record(descriptor: int) -> None:
        fsync(descriptor)
        recorder.sync(descriptor)

    def record(moment: Moment) -> None:
        if "lich-update" in str(moment.arguments) or recorder.number:
            recorder.cut()

    monkeypatch.setattr(os, "fsync", fsync_and_record)
    assert update_with(project.path, record) == 0
    monkeypatch.setattr(os, "fsync", fsync)
    after, new_index = snapshot(project.path), project.git("ls-files", "--stage")

    outcomes = []
    cuts = sorted(set((tmp_path / "cuts").iterdir()) - {tmp_path / "cuts/first"})
    assert len(cuts) >= POINTS
    for path in cuts:
        cut = Tree(path, init=False)
        found = snapshot(path)
        outcomes.append("old" if found == before else "new" if found == after else "between")
        roll_back(Project.open(path))
        state = (snapshot(path), cut.git("ls-files", "--stage"))
        assert state in ((before, old_index), (after, new_index)), path.name
        assert not (path / ".git/lich-update").exists()
        assert not (path / ".git/index.lock").exists()
        # All that a new index refers to is there, and no file is taken for changed.
        if state[0] == after:
            cut.git("write-tree")
        assert cut.git("diff", "--name-only") == ""
    assert outcomes.count("between") > 20
    assert {"old", "new"} < set(outcomes)
    # And the next update goes on from there, as from an undisturbed project.
    for path in cuts[:: len(cuts) // 5]:
        assert lich("update", path).code in (0, 1)
        assert snapshot(path) == after
