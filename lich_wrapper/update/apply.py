"""Writes a computed tree into the work tree and the index; an interruption is rolled back.

The journal in the git directory says what was to be written: from it the next run, or this
one after an error, restores what was there.
"""

import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lich_wrapper.errors import LichError
from lich_wrapper.update.merge import Entry
from lich_wrapper.update.project import Project

__all__ = ["Change", "apply", "obstacles", "roll_back"]

_JOURNAL: Final = "journal.json"
# Where new files wait if the git directory is on another file system.
_STAGING: Final = ".lich-update"
_SUBMODULE: Final = "160000"


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one file.

    `old` is its entry in the last commit, `new` in the result; they are both None where the
    file stays as it is, and only its unmerged stages go into the index.
    """

    path: str
    old: Entry | None
    new: Entry | None
    stages: Mapping[int, Entry]


def obstacles(project: Project, changes: Sequence[Change]) -> str | None:
    """Say which of the user's files, unknown to git, an update would overwrite, or None."""
    changes = [change for change in changes if change.old != change.new]
    going = {change.path for change in changes if change.new is None}
    in_the_way = sorted(
        {
            obstacle
            for change in changes
            if change.old is None and change.new is not None
            for obstacle in _in_the_way(project.path, change.path, going)
        }
    )
    if in_the_way:
        return (
            f"{_some(in_the_way)} of yours, unknown to git, in the place of a new file: move or "
            "remove what is there first."
        )
    hidden = sorted(project.hidden() & {change.path for change in changes})
    if hidden:
        return (
            f"git was told to overlook changes in {_some(hidden)}, which the update changes: run "
            f"`git update-index --no-assume-unchanged --no-skip-worktree -- {hidden[0]}` first."
        )
    return None


def apply(project: Project, changes: Sequence[Change]) -> None:
    """Write the result; after any error or interruption the project is as it was.

    Raises LichError if another git process holds the index, or git fails.
    """
    folder = project.journal
    shutil.rmtree(folder, ignore_errors=True)
    written = [change for change in changes if change.old != change.new]
    try:
        folder.mkdir()
        with _staging(project, folder) as staging:
            _stage_files(project, written, folder, staging)
            _stage_index(project, changes, folder)
            _write_journal(project, written, folder)
            _replace_files(project, written, staging)
            _replace_index(project, folder)
    except BaseException:
        roll_back(project)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    # Only spares the next git command the work: the entries just written have no times yet.
    project.git.run("update-index", "-q", "--refresh", ok=(0, 1, 128))


def roll_back(project: Project) -> bool:
    """Roll back an update that did not come to its end; tell whether there was one."""
    folder = project.journal
    if not folder.exists():
        return False
    rolled_back = False
    journal = folder / _JOURNAL
    if journal.is_file():
        rolled_back = _restore_project(project, json.loads(journal.read_text(encoding="utf-8")))
        journal.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    return rolled_back


def _restore_project(project: Project, journal: dict[str, Any]) -> bool:
    lock = project.git_dir / "index.lock"
    with suppress(OSError):
        if lock.samefile(project.journal / "index"):
            lock.unlink()
    # It may be another project in the same repository that was interrupted.
    place = Path(journal["project"])
    if not place.is_dir():
        return False
    owner = Project.open(place)
    shutil.rmtree(owner.path / _STAGING, ignore_errors=True)
    # With another commit or a changed index, the user has gone on from there.
    if owner.head != journal["head"] or not _index_is_old(owner, journal["files"]):
        return False
    _restore_files(owner, journal["files"])
    return True


@contextmanager
def _staging(project: Project, folder: Path) -> Iterator[Path]:
    """Give a temporary folder on the project's file system, from which files can be renamed."""
    staging = folder / "files"
    if folder.stat().st_dev != project.path.stat().st_dev:
        staging = project.path / _STAGING
        shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _stage_files(project: Project, changes: Sequence[Change], folder: Path, staging: Path) -> None:
    """Have git write the new files, with the line ends and filters of the user."""
    entries = "".join(
        f"{change.new.mode} {change.new.id} 0\t{project.prefix}{change.path}\0"
        for change in changes
        if change.new is not None and change.new.mode != _SUBMODULE
    )
    if not entries:
        return
    git = project.git_with(GIT_INDEX_FILE=str(folder / "files.index"))
    git("update-index", "-z", "--index-info", stdin=os.fsencode(entries))
    git("checkout-index", "--all", f"--prefix={staging}/")


def _stage_index(project: Project, changes: Sequence[Change], folder: Path) -> None:
    """Make the index of the result, from a copy of the present one."""
    index = folder / "index"
    with suppress(FileNotFoundError):
        shutil.copyfile(project.git_dir / "index", index)
    zero = "0" * len(project.head)
    entries = ""
    for change in changes:
        path = f"{project.prefix}{change.path}\0"
        entries += f"0 {zero} 0\t{path}"
        stages = change.stages or ({0: change.new} if change.new is not None else {})
        entries += "".join(f"{e.mode} {e.id} {stage}\t{path}" for stage, e in stages.items())
    git = project.git_with(GIT_INDEX_FILE=str(index))
    git("update-index", "-z", "--index-info", stdin=os.fsencode(entries))


def _write_journal(project: Project, changes: Sequence[Change], folder: Path) -> None:
    journal = {
        "project": str(project.path),
        "head": project.head,
        "files": [
            {"path": change.path, "old": _as_json(change.old), "new": _as_json(change.new)}
            for change in changes
        ],
    }
    unfinished = folder / "journal.part"
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump(journal, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(folder / _JOURNAL)


def _as_json(entry: Entry | None) -> list[str] | None:
    return None if entry is None else [entry.mode, entry.id]


def _replace_files(project: Project, changes: Sequence[Change], staging: Path) -> None:
    for change in changes:
        if change.new is None:
            _remove(project, change.path)
    for change in changes:
        if change.new is not None and change.new.mode != _SUBMODULE:
            place = project.path / change.path
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_dir() and not place.is_symlink():
                place.rmdir()
            (staging / f"{project.prefix}{change.path}").rename(place)


def _replace_index(project: Project, folder: Path) -> None:
    lock = project.git_dir / "index.lock"
    try:
        # The way in which git itself replaces it, but whole from the first moment on.
        os.link(folder / "index", lock)
    except FileExistsError:
        raise LichError(
            f"Another git process works in {project.top}: wait for it and try again."
        ) from None
    lock.rename(project.git_dir / "index")


def _remove(project: Project, path: str) -> None:
    """Remove a file and the folders that are empty without it."""
    place = project.path / path
    with suppress(FileNotFoundError, NotADirectoryError):
        place.unlink()
    for parent in place.parents:
        if parent == project.path:
            return
        try:
            parent.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return


def _index_is_old(project: Project, files: list[dict[str, Any]]) -> bool:
    entries: dict[str, list[str]] = {}
    for line in project.git("ls-files", "--stage", "-z", "--", ".").split("\0"):
        described, _, path = line.partition("\t")
        if described.endswith(" 0"):
            entries[path] = described.split(" ")[:2]
    return all(entries.get(file["path"]) == file["old"] for file in files)


def _restore_files(project: Project, files: list[dict[str, Any]]) -> None:
    """Bring files back that are as the update writes them; what the user did since stays."""
    wanted = []
    for file in files:
        path = file["path"]
        old, new = (file[state] and file[state][1] for state in ("old", "new"))
        now = _state(project, path)
        if now == old or now not in (None, new):
            continue
        if old is None:
            _remove(project, path)
        else:
            wanted.append(path)
    # A folder may stand where a file was, but only one that the update made.
    for path in wanted:
        place = project.path / path
        if place.is_dir() and not place.is_symlink():
            with suppress(OSError):
                place.rmdir()
    if wanted:
        names = os.fsencode("".join(f"{path}\0" for path in wanted))
        project.git("checkout-index", "--force", "-z", "--stdin", stdin=names)


def _state(project: Project, path: str) -> str | None:
    """Return git's id of what a file holds, or None if there is none."""
    place = project.path / path
    try:
        mode = place.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(mode):
        target = os.fsencode(place.readlink())
        return project.git("hash-object", "--stdin", stdin=target)
    if not stat.S_ISREG(mode):
        return None
    return project.git("hash-object", "--", path)


def _in_the_way(root: Path, path: str, going: set[str]) -> Iterator[str]:
    """Yield what stands where a new file is to be, except what the update removes itself."""
    parts = path.split("/")
    for length in range(1, len(parts)):
        above = "/".join(parts[:length])
        place = root / above
        if above not in going and (place.is_symlink() or (place.exists() and not place.is_dir())):
            yield above
            return
    place = root / path
    if place.is_dir() and not place.is_symlink():
        for below in place.rglob("*"):
            name = below.relative_to(root).as_posix()
            if name not in going and (below.is_symlink() or not below.is_dir()):
                yield name
    elif os.path.lexists(place) and path not in going:
        yield path


def _some(paths: list[str]) -> str:
    shown = ", ".join(paths[:3])
    return shown if len(paths) <= 3 else f"{shown} and {len(paths) - 3} more"
