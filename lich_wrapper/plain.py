"""Spares Copier the files of a template in which, and in whose paths, nothing is rendered.

Copier compiles every part of every path several times over, which is most of what a render
costs. A plain file ends up as it is at the path where it is; wherever that could be otherwise,
it is left to Copier.
"""

import fnmatch
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

__all__ = ["set_aside"]

# Patterns that can only be meant for one name in a path; all others are for Copier to match.
_SIMPLE: Final = re.compile(r"[\w.*?\[\]~+-]+")
# A template that reads other files could read a plain one.
_READS: Final = re.compile(rb"\{%[-+]?\s*(?:include|import|from|extends)\b")

_DELIMITERS: Final = {
    f"{what}_{where}_string"
    for what in ("block", "variable", "comment")
    for where in ("start", "end")
} | {"line_statement_prefix", "line_comment_prefix"}


@contextmanager
def set_aside(
    template: Path, config: Mapping[str, Any], exclude: tuple[str, ...], destination: Path
) -> Iterator[None]:
    """Hide the plain files of an exported template, and then copy them to the destination."""
    root = template / str(config.get("_subdirectory") or "")
    plain = list(_plain_files(template, root, config, exclude))
    hidden = template.with_name(f"{template.name}.plain")
    for name in plain:
        _move(root / name, hidden / name)
        with suppress(OSError):
            for folder in (root / name).parents:
                folder.rmdir()
    try:
        yield
    finally:
        for name in plain:
            _move(hidden / name, root / name)
    for name in plain:
        place = destination / name
        if not os.path.lexists(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, place)
            place.chmod(stat.S_IMODE((root / name).stat().st_mode))


def _plain_files(
    template: Path, root: Path, config: Mapping[str, Any], exclude: tuple[str, ...]
) -> Iterator[str]:
    suffix = str(config.get("_templates_suffix", ".jinja"))
    patterns = [*map(str, config.get("_exclude") or ()), *exclude]
    is_usual = (
        root != template
        and root.is_dir()
        and suffix
        and not set(config.get("_envops") or {}) & _DELIMITERS
        and all(map(_SIMPLE.fullmatch, patterns))
    )
    if not is_usual:
        return
    files = [path for path in root.rglob("*") if not path.is_symlink() and path.is_file()]
    if any(_READS.search(path.read_bytes()) for path in files if path.name.endswith(suffix)):
        return
    for path in files:
        name = path.relative_to(root).as_posix()
        if not (
            "{" in name
            or name.endswith(suffix)
            or (root / f"{name}{suffix}").exists()
            or (template / f"{name}{suffix}").exists()
            or any(fnmatch.fnmatch(part, p) for part in name.split("/") for p in patterns)
        ):
            yield name


def _move(here: Path, there: Path) -> None:
    there.parent.mkdir(parents=True, exist_ok=True)
    here.rename(there)
