"""Temporary folders, which a later run removes if a killed one left them behind."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["is_abandoned", "temporary_folder"]

# Between making a folder and locking it, its owner needs far less.
_SETTLED_AFTER = 60.0


@contextmanager
def temporary_folder(prefix: str, parent: Path) -> Iterator[Path]:
    """Make a folder, lock it while it is in use, and remove it and what earlier runs left."""
    for other in parent.glob(f"{prefix}*"):
        if is_abandoned(other):
            shutil.rmtree(other, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        with _locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_abandoned(folder: Path) -> bool:
    """Tell whether a temporary folder of this user has lost the process that made it."""
    with suppress(OSError):
        about = folder.lstat()
        if (
            sys.platform != "win32"
            and about.st_uid == os.geteuid()
            and time.time() - about.st_mtime > _SETTLED_AFTER
        ):
            with _locked(folder):
                return True
    return False


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which ends with the process; raises OSError if another has it."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
