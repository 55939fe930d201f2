"""Files as an update handles them: what they hold, byte for byte, and moves that overwrite nothing.

Also the order in which writes reach the disk, on which the repair after a power cut rests.
"""

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import Final

__all__ = [
    "FOLDER",
    "place",
    "remove_empty_folders",
    "state",
    "sync",
    "sync_folders",
    "touched",
    "write_durably",
]

FOLDER: Final = "folder"


def state(path: Path) -> str | None:
    """Return the kind of a file with the digest of what it holds, or None if there is none.

    It is of the bytes in the work tree: line ends and filters of git play no part.
    """
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return f"link {hashlib.sha256(os.fsencode(path.readlink())).hexdigest()}"
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            return f"{'program' if mode & stat.S_IXUSR else 'file'} {digest}"
    except (FileNotFoundError, NotADirectoryError):
        return None
    return FOLDER if stat.S_ISDIR(mode) else "special"


def touched(path: Path) -> tuple[int, ...] | None:
    """Return what is not the same any more once a file was written to or replaced."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns


def place(source: Path, target: Path) -> None:
    """Put a file where nothing is; raises FileExistsError if something is there."""
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        # Not every file system has hard links. Then what is saved between the two calls is lost.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        source.rename(target)


def remove_empty_folders(path: Path, root: Path) -> None:
    """Remove the folders above a removed file, up to `root`, that are empty without it."""
    for parent in path.parents:
        if parent == root:
            return
        try:
            parent.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return


def sync(path: Path) -> None:
    """Return once what a file or folder holds is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as problem:
        # Some file systems know no such thing of a folder.
        if problem.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def sync_folders(paths: list[Path], root: Path) -> None:
    """Return once it is on the disk what is at these paths below `root`, and what is not."""
    folders = {parent for path in paths for parent in path.parents if parent.is_relative_to(root)}
    for folder in sorted(folders):
        if folder.is_dir():
            sync(folder)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file that is there whole, or not at all, also after a power cut."""
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    sync(path.parent)
