"""The record of an update that is under way, and the repair after one that was interrupted.

All of it is in the git directory. Its paths are relative to the repository, so that it holds
wherever that is moved or copied to.
"""

import json
import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from lich_wrapper.errors import LichError
from lich_wrapper.git import Git
from lich_wrapper.update.files import (
    FOLDER,
    place,
    remove_empty_folders,
    state,
    sync,
    write_durably,
)
from lich_wrapper.update.lock import is_ours, release_index
from lich_wrapper.update.project import Project

__all__ = ["Record", "Repair", "clean_up", "keep_late_saves", "make_staging", "roll_back", "write"]

_JOURNAL: Final = "journal.json"
# Names the folder for new files if the git directory is on another file system.
_ELSEWHERE: Final = "staging"


@dataclass(frozen=True, slots=True)
class Record:
    """One file of an update: its entry in the old index, and its states before and after."""

    path: str
    entry: str | None
    old: str | None
    new: str | None

    def aside(self, staging: Path, number: int) -> Path:
        """Return where the old file is from its replacement to the end of the update."""
        return staging / "old" / str(number)


@dataclass(frozen=True, slots=True)
class Repair:
    """What was done, or would be, to take an update back.

    `copies` are the new names of files that were saved while the update ran.
    """

    put_back: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()

    @property
    def is_needed(self) -> bool:
        """Tell whether any file is to be changed."""
        return bool(self.put_back or self.removed)

    def __str__(self) -> str:
        """Return what is done in a few words."""
        done = []
        if self.put_back:
            done.append(f"puts back {', '.join(self.put_back)}")
        if self.removed:
            done.append(f"removes {', '.join(self.removed)}")
        return " and ".join(done)


def make_staging(project: Project) -> Path:
    """Make the folder for the record and return one on the project's file system for files."""
    folder = project.journal
    folder.mkdir()
    staging = folder / "files"
    if folder.stat().st_dev != project.path.stat().st_dev:
        name = f".lich-update-{secrets.token_hex(4)}"
        write_durably(folder / _ELSEWHERE, os.fsencode(f"{project.prefix}{name}"))
        sync(project.git_dir)
        staging = project.path / name
    staging.mkdir()
    (staging / "new").mkdir()
    (staging / "old").mkdir()
    return staging


def write(project: Project, records: Sequence[Record]) -> None:
    """Record durably what is about to be replaced."""
    content = {
        "top": str(project.top),
        "prefix": project.prefix,
        "files": [asdict(record) for record in records],
    }
    write_durably(project.journal / _JOURNAL, json.dumps(content).encode())
    sync(project.git_dir)


def keep_late_saves(project: Project, staging: Path, records: Sequence[Record]) -> tuple[str, ...]:
    """Bring back what was saved into files that were moved aside already, under names of its own.

    That is what an editor does which opened a file before it was replaced.
    """
    copies = []
    for number, record in enumerate(records):
        aside = record.aside(staging, number)
        if state(aside) in (None, record.old):
            continue
        copy = _copy_of(project.path / record.path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        place(aside, copy)
        copies.append(copy.relative_to(project.path).as_posix())
    return tuple(copies)


def clean_up(project: Project) -> None:
    """Remove the record of an update, all that it staged, and its lock of the index."""
    release_index(project)
    folder = project.journal
    elsewhere = _staging_elsewhere(project)
    (folder / _JOURNAL).unlink(missing_ok=True)
    if elsewhere is not None:
        shutil.rmtree(elsewhere, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def roll_back(project: Project, *, dry_run: bool = False) -> Repair:
    """Take back an update that did not come to its end, also one of another project beside it.

    What the user changed since stays. A dry run changes nothing. Raises LichError if the record
    is damaged or not of this place.
    """
    journal = project.journal / _JOURNAL
    if not journal.is_file():
        left = _staging_elsewhere(project)
        if not dry_run:
            clean_up(project)
        return Repair(removed=(left.name,) if left is not None else ())
    try:
        content = json.loads(journal.read_bytes())
        top, prefix = Path(content["top"]), str(content["prefix"])
        records = [Record(**file) for file in content["files"]]
    except (ValueError, TypeError, KeyError) as problem:
        raise LichError(
            f"An update was interrupted, and its record {journal} is damaged: look with `git "
            f"status` at what it left, bring files back with `git restore`, remove "
            f"{project.journal}, and {project.git_dir / 'index.lock'} if it is there."
        ) from problem
    _require_own(project, top)
    if not (project.top / prefix).is_dir():
        raise LichError(
            f"An update of {prefix} was interrupted, and that folder is not there any more: "
            f"bring it back, or remove {project.journal}."
        )
    if (project.git_dir / "index.lock").exists() and not is_ours(project):
        raise LichError(
            f"An update was interrupted, and another git process works in {project.top}: wait "
            f"for it, or remove {project.git_dir / 'index.lock'} if there is none."
        )
    owner = Project.open(project.top / prefix)
    staging = _staging_elsewhere(owner) or owner.journal / "files"
    repair = _restore(owner, staging, records, dry_run=dry_run)
    if not dry_run:
        clean_up(owner)
    return repair


def _restore(project: Project, staging: Path, records: list[Record], *, dry_run: bool) -> Repair:
    """Bring back each file that is as the update left it, unless its index entry is new."""
    entries = _entries(project)
    put_back: list[str] = []
    removed: list[str] = []
    lost: list[str] = []
    # In the opposite order, so that a file comes back only after what is in its place is gone.
    for number, record in reversed(list(enumerate(records))):
        if entries.get(record.path) != record.entry:
            continue
        target = project.path / record.path
        now = state(target)
        if now == FOLDER and record.old is not None and not _holds_others(project, target, removed):
            now = record.new
        if now == record.old or now not in (None, record.new):
            continue
        (removed if record.old is None else put_back).append(record.path)
        if dry_run:
            continue
        if target.is_dir() and not target.is_symlink():
            _remove_folders(target)
        elif now is not None:
            target.unlink()
        if record.old is None:
            remove_empty_folders(target, project.path)
            continue
        aside = record.aside(staging, number)
        if not os.path.lexists(aside):
            lost.append(record.path)
            continue
        # What the user put where the file or its folder was stays; git has the file.
        with suppress(FileExistsError, NotADirectoryError):
            target.parent.mkdir(parents=True, exist_ok=True)
            place(aside, target)
            aside.unlink(missing_ok=True)
    if lost:
        names = os.fsencode("".join(f"{path}\0" for path in lost))
        project.git("checkout-index", "--force", "-z", "--stdin", stdin=names)
    copies = () if dry_run else keep_late_saves(project, staging, records)
    return Repair(tuple(sorted(put_back)), tuple(sorted(removed)), copies)


def _holds_others(project: Project, folder: Path, removed: list[str]) -> bool:
    """Tell whether a folder holds a file that is not among the removed ones."""
    return any(
        below.relative_to(project.path).as_posix() not in removed
        for below in folder.rglob("*")
        if below.is_symlink() or not below.is_dir()
    )


def _remove_folders(folder: Path) -> None:
    for below in sorted(folder.rglob("*"), reverse=True):
        below.rmdir()
    folder.rmdir()


def _entries(project: Project) -> dict[str, str]:
    """Return mode and id of every file in the index that is merged."""
    entries = {}
    for line in project.git("ls-files", "--stage", "-z", "--", ".").split("\0"):
        described, _, path = line.partition("\t")
        if described.endswith(" 0"):
            entries[path] = described.removesuffix(" 0")
    return entries


def _staging_elsewhere(project: Project) -> Path | None:
    try:
        name = os.fsdecode((project.journal / _ELSEWHERE).read_bytes())
    except OSError:
        return None
    return project.top / name


def _require_own(project: Project, top: Path) -> None:
    """Refuse the record of another work tree that shares the git directory: a copied link to it."""
    if not top.is_dir() or top.samefile(project.top):
        return
    asked = Git(top).run("rev-parse", "--absolute-git-dir", ok=None)
    git_dir = Path(os.fsdecode(asked.stdout.rstrip(b"\n")))
    if asked.returncode == 0 and git_dir.is_dir() and git_dir.samefile(project.git_dir):
        raise LichError(
            f"An update was interrupted in {top}, whose git directory {project.top} shares: run "
            "`lich update` there first."
        )


def _copy_of(path: Path) -> Path:
    """Return a free name beside a file for what was saved into it during an update."""
    number = 0
    while True:
        copy = path.with_name(f"{path.name}.saved-{number}" if number else f"{path.name}.saved")
        if not os.path.lexists(copy):
            return copy
        number += 1
