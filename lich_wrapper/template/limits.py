"""What a template may do: write files, links and folders of the project, in bounded time."""

import os
import re
import signal
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from lich_wrapper.errors import LichError

__all__ = ["bounded_time", "check_written"]

MOST_FILES = 100_000
# Of computing time: what a person takes to answer, or other processes, do not count.
MOST_SECONDS = 60.0

# The name that NTFS gives `.git` beside it, for programs that know only short names.
_SHORT_NAME: Final = re.compile(r"git~\d+")
# By these git takes a folder for a repository that has no `.git`.
_BARE_REPOSITORY: Final = frozenset({"head", "objects", "refs"})


class _TooLong(BaseException):
    # Not an Exception: what catches those to name a question must not catch this.
    pass


@contextmanager
def bounded_time() -> Iterator[None]:
    """Raise LichError if what is done takes more than a minute of computing time.

    The limit needs POSIX and the main thread; elsewhere there is none.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not (in_main and hasattr(signal, "setitimer")):
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGPROF, stop)
    try:
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        yield
    except _TooLong:
        raise LichError(
            "The template was stopped, for it took more than a minute to render: a loop in it may "
            "never end, so give another version with --vcs-ref or another template."
        ) from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def check_written(folder: Path) -> tuple[str, ...]:
    """Return the relative paths of all files and links that a template wrote, sorted.

    Raises LichError for whatever git, or a later writer, could take for something else than a
    file of the project.
    """
    root = os.path.realpath(folder)
    found: list[str] = []
    folders = [""]
    while folders:
        above = folders.pop()
        entries = list(os.scandir(os.path.join(root, above)))  # noqa: PTH118
        _check_names(above, entries)
        for entry in entries:
            path = f"{above}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                folders.append(f"{path}/")
                continue
            if entry.is_symlink():
                _check_link(root, path)
            elif not entry.is_file(follow_symlinks=False):
                raise _forbidden(f"{path}, which is neither a file nor a link")
            found.append(path)
        if len(found) > MOST_FILES:
            raise LichError(
                f"The template was stopped, for it writes more than {MOST_FILES} files: give "
                "another version with --vcs-ref or another template."
            )
    return tuple(sorted(found))


def _check_names(above: str, entries: list[os.DirEntry[str]]) -> None:
    """Refuse git's own folder, and a link that is another name where case does not count."""
    names: dict[str, os.DirEntry[str]] = {}
    for entry in entries:
        path = f"{above}{entry.name}"
        plain = _plain(entry.name)
        if _is_git(plain):
            raise _forbidden(f"{path}, which is or could be git's own")
        other = names.setdefault(plain, entry)
        if other is not entry and (entry.is_symlink() or other.is_symlink()):
            raise _forbidden(f"{path}, a link or beside one from which only case makes it differ")
    if names.keys() >= _BARE_REPOSITORY:
        raise _forbidden(f"{above or 'files'}, which git takes for a repository of git's own")


def _check_link(root: str, path: str) -> None:
    place = os.path.join(root, path)  # noqa: PTH118
    leads_to = Path(os.path.realpath(place))
    if (
        Path(place).readlink().is_absolute()
        or not leads_to.is_relative_to(root)
        or any(_is_git(_plain(part)) for part in leads_to.relative_to(root).parts)
    ):
        raise _forbidden(f"the link {path}, which leads out of the project or to git's own folder")


def _plain(name: str) -> str:
    """Return a name as file systems compare it that overlook case and format characters."""
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name)
        name = "".join(sign for sign in name if unicodedata.category(sign) not in {"Cc", "Cf"})
    return name.casefold()


def _is_git(plain: str) -> bool:
    # Windows takes a backslash for a slash, what follows a colon for a stream of the file, and
    # leaves dots and spaces at the end out.
    for part in plain.split("\\"):
        word = part.partition(":")[0].rstrip(" .")
        if word == ".git" or _SHORT_NAME.fullmatch(word):
            return True
    return False


def _forbidden(what: str) -> LichError:
    return LichError(
        f"The template writes {what}: lich takes nothing but files, links and folders of the "
        "project, so give another version with --vcs-ref or another template."
    )
