"""One update at a time in a work tree of git, and no git command while files are replaced.

Two projects in one work tree share its index, so they share the lock too; linked work trees have
an index each.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from lich_wrapper.errors import LichError
from lich_wrapper.update.files import write_durably
from lich_wrapper.update.project import Project

__all__ = ["hold_index", "is_ours", "locked", "release_index"]

# Seconds: several updates in a row on a busy machine take less.
_TIMEOUT: Final = 60.0
# Other programs, such as editors, run `git status` all the time.
_INDEX_TIMEOUT: Final = 2.0
_PAUSE: Final = 0.05
_MARK: Final = b"lich update\n"


@contextmanager
def locked(project: Project) -> Iterator[bool]:
    """Keep other updates out; give whether another one had to be waited for.

    The system ends the lock with the process, however that ends, and nothing is written for it.
    Raises LichError if the other update takes long.
    """
    descriptor = os.open(project.git_dir, os.O_RDONLY)
    try:
        try:
            waited = _wait(project, descriptor)
        except LichError:
            raise
        except OSError:
            # Network file systems lock only what is open for writing.
            os.close(descriptor)
            descriptor = os.open(project.git_dir / "HEAD", os.O_RDWR)
            waited = _wait(project, descriptor)
        yield waited
    finally:
        os.close(descriptor)


def _wait(project: Project, descriptor: int) -> bool:
    deadline = time.monotonic() + _TIMEOUT
    waited = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return waited
        except BlockingIOError:
            waited = True
        if time.monotonic() > deadline:
            raise LichError(
                f"Another `lich update` is at work in {project.top}: wait for it and try again."
            )
        time.sleep(_PAUSE)


def hold_index(project: Project) -> None:
    """Take git's own lock of the index, so that no git command changes it.

    Raises LichError if another git process holds it for longer than git usually does.
    """
    mark = project.journal / "mark"
    write_durably(mark, _MARK)
    lock = _index_lock(project)
    deadline = time.monotonic() + _INDEX_TIMEOUT
    while True:
        try:
            _make_lock(mark, lock)
            return
        except FileExistsError:
            if time.monotonic() > deadline:
                raise LichError(
                    f"Another git process works in {project.top}: wait for it and try again, or "
                    f"remove {lock} if there is none."
                ) from None
        time.sleep(_PAUSE)


def _make_lock(mark: Path, lock: Path) -> None:
    try:
        # Whole from the first moment on: so a later run knows whose it is.
        os.link(mark, lock)
    except FileExistsError:
        raise
    except OSError:
        with lock.open("xb") as file:
            file.write(_MARK)


def is_ours(project: Project) -> bool:
    """Tell whether git's lock of the index is one that an update took."""
    try:
        return _index_lock(project).read_bytes() == _MARK
    except OSError:
        return False


def release_index(project: Project) -> None:
    """Give the index free, if it was an update that locked it."""
    if is_ours(project):
        with suppress(FileNotFoundError):
            _index_lock(project).unlink()


def _index_lock(project: Project) -> Path:
    return project.git_dir / "index.lock"
