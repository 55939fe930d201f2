"""Writes a computed tree into the work tree and the index, or leaves everything as it was.

A file is replaced only if it is still what was merged: the old one is moved aside, looked at, and
the new one put where nothing is. What cannot be replaced so has the whole update taken back.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lich_wrapper.errors import LichError
from lich_wrapper.template.answers import ANSWERS_FILE
from lich_wrapper.update import journal
from lich_wrapper.update.files import (
    FOLDER,
    place,
    remove_empty_folders,
    state,
    sync,
    sync_folders,
    touched,
)
from lich_wrapper.update.journal import Record
from lich_wrapper.update.lock import hold_index
from lich_wrapper.update.merge import Entry
from lich_wrapper.update.project import Project

__all__ = ["Change", "apply", "obstacles"]

_SUBMODULE: Final = "160000"

# A file of the project, where the old or the new one is now, and how it looks there.
_Look = tuple[str, Path, tuple[int, ...] | None]


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


def apply(project: Project, changes: Sequence[Change]) -> tuple[str, ...]:
    """Write the result; after any error or interruption the project is as it was.

    Returns the new names of files that were saved at the last moment. Raises LichError if files
    or commits changed since the result was computed, if another git process holds the index, or
    if git fails.
    """
    # Only when everything else is written is the project at its new version.
    written = sorted(
        (change for change in changes if change.old != change.new and not _is_submodule(change)),
        key=lambda change: (change.path == ANSWERS_FILE, change.new is not None, change.path),
    )
    try:
        staging = journal.make_staging(project)
        _stage_files(project, written, staging)
        hold_index(project)
        records = [_record(project, change, staging) for change in written]
        _require_unchanged(project, changes)
        _stage_index(project, changes)
        _sync_staged(project, records, staging)
        journal.write(project, records)
        looks = _replace_files(project, records, staging)
        sync_folders([project.path / record.path for record in records], project.path)
        _replace_index(project, looks)
    except BaseException:
        journal.roll_back(project)
        raise
    copies = journal.keep_late_saves(project, staging, records)
    journal.clean_up(project)
    return copies


def _is_submodule(change: Change) -> bool:
    return _SUBMODULE in (change.old and change.old.mode, change.new and change.new.mode)


def _stage_files(project: Project, changes: Sequence[Change], staging: Path) -> None:
    """Have git write the new files, with the line ends and filters of the user."""
    entries = "".join(
        f"{change.new.mode} {change.new.id} 0\t{project.prefix}{change.path}\0"
        for change in changes
        if change.new is not None
    )
    if not entries:
        return
    git = project.git_with(GIT_INDEX_FILE=str(project.journal / "files.index"))
    git("update-index", "-z", "--index-info", stdin=os.fsencode(entries))
    git("checkout-index", "--all", f"--prefix={staging / 'new'}/")


def _record(project: Project, change: Change, staging: Path) -> Record:
    return Record(
        change.path,
        entry=None if change.old is None else f"{change.old.mode} {change.old.id}",
        old=state(project.path / change.path) if change.old is not None else None,
        new=state(_staged(project, change.path, staging)) if change.new is not None else None,
    )


def _staged(project: Project, path: str, staging: Path) -> Path:
    return staging / "new" / f"{project.prefix}{path}"


def _require_unchanged(project: Project, changes: Sequence[Change]) -> None:
    """Refuse if a commit was made, or one of the files changed, since the merge."""
    status = project.git(
        *("status", "--porcelain=v2", "--branch", "-z", "--no-renames", "--untracked-files=no"),
        *("--", "."),
    )
    ours = {f"{project.prefix}{change.path}": change.path for change in changes}
    for line in status.split("\0"):
        kind, _, rest = line.partition(" ")
        if kind == "#" and rest.startswith("branch.oid ") and not rest.endswith(project.head):
            raise _moved_on()
        # Seven words stand before the path of a merged file, nine before that of another.
        path = rest.split(" ", 9 if kind == "u" else 7)[-1]
        if kind in ("1", "u") and path in ours:
            raise _changed(ours[path])


def _moved_on() -> LichError:
    return LichError(
        "A commit was made while the update ran, so it was taken back: run `lich update` again."
    )


def _changed(path: str) -> LichError:
    return LichError(
        f"{path} was changed while the update ran, so it was taken back and your change is "
        "there: commit or stash it and run `lich update` again."
    )


def _stage_index(project: Project, changes: Sequence[Change]) -> None:
    """Make the index of the result, from a copy of the present one."""
    index = project.journal / "index"
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


def _sync_staged(project: Project, records: Sequence[Record], staging: Path) -> None:
    """Bring to the disk what the project will consist of before anything of it is replaced."""
    for record in records:
        staged = _staged(project, record.path, staging)
        if record.new is not None and not staged.is_symlink():
            sync(staged)


def _replace_files(project: Project, records: Sequence[Record], staging: Path) -> list[_Look]:
    """Replace every file that is still in its old state; return what must not be touched."""
    looks: list[_Look] = []
    for number, record in enumerate(records):
        target, aside = project.path / record.path, record.aside(staging, number)
        staged = _staged(project, record.path, staging)
        try:
            _require_folders(project, target)
            if record.old is not None:
                target.rename(aside)
                if state(aside) != record.old:
                    raise _changed(record.path)
                looks.append((record.path, aside, touched(aside)))
            if record.new is None:
                remove_empty_folders(target, project.path)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                if state(target) == FOLDER:
                    target.rmdir()
                look = touched(staged)
                place(staged, target)
                staged.unlink(missing_ok=True)
                looks.append((record.path, target, look))
        except (FileExistsError, FileNotFoundError, NotADirectoryError):
            raise _changed(record.path) from None
        except OSError as problem:
            raise LichError(
                f"{record.path} cannot be replaced ({problem.strerror}), so the update was taken "
                "back: see what is there, and run `lich update` again."
            ) from problem
    return looks


def _require_folders(project: Project, target: Path) -> None:
    """Refuse a link in place of a folder: what is written below it would be elsewhere."""
    for parent in target.parents:
        if parent == project.path:
            return
        if parent.is_symlink():
            raise NotADirectoryError(parent)


def _replace_index(project: Project, looks: list[_Look]) -> None:
    """Make the update final, unless something was saved or committed up to now."""
    index = project.journal / "index"
    # Only spares the next git command the work: the entries of new files have no times yet.
    refresh = project.git_with(GIT_INDEX_FILE=str(index)).run
    refresh("update-index", "-q", "--refresh", ok=(0, 1, 128))
    sync(index)
    if project.git("rev-parse", "HEAD") != project.head:
        raise _moved_on()
    for path, file, look in looks:
        if touched(file) != look:
            raise _changed(path)
    index.rename(project.git_dir / "index")
    sync(project.git_dir)


def _in_the_way(root: Path, path: str, going: set[str]) -> Iterator[str]:
    """Yield what stands where a new file is to be, except what the update removes itself."""
    parts = path.split("/")
    for length in range(1, len(parts)):
        above = "/".join(parts[:length])
        place = root / above
        is_file = place.is_symlink() or (place.exists() and not place.is_dir())
        # What is in a submodule, or another repository, belongs to that.
        if (above not in going and is_file) or os.path.lexists(place / ".git"):
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
