"""Decides from which version of the template to which one an update goes, if to any."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lich_wrapper.errors import LichError
from lich_wrapper.template.source import (
    Source,
    Version,
    base_release,
    carried_version,
    find_source,
    release_number,
)
from lich_wrapper.update.project import Recorded

__all__ = ["Request", "Route", "find_route", "is_newest", "newest", "template_of"]


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks of an update: answers, a version or the newest, another template."""

    answers: Mapping[str, Any] = field(default_factory=dict)
    ref: str | None = None
    latest: bool = False
    template: str | None = None

    @property
    def keeps_version(self) -> bool:
        """Tell whether only answers are to change, at the recorded version."""
        return bool(self.answers) and self.ref is None and not self.latest


@dataclass(frozen=True, slots=True)
class Route:
    """From which version of the template to which one an update goes."""

    source: Source
    old: Version
    new: Version
    hints: tuple[str, ...] = ()


def template_of(recorded: Recorded) -> str:
    """Return where the project's template is, if it can be found from anywhere."""
    given = recorded.source
    if not Path(given).expanduser().is_absolute() and ":" not in given:
        raise LichError(
            f"The project records its template as {given}, a path from a folder nobody knows: "
            "give the template with --template."
        )
    return given


def newest(recorded: Recorded, source: Source) -> Version | None:
    """Return the version to go to if none is asked for, or None if the project is there."""
    target = source.version()
    if target.name == recorded.version:
        return None
    ahead, behind = (release_number(base_release(name)) for name in (target.name, recorded.version))
    if ahead is not None and behind is not None and ahead < behind:
        return None
    commit = source.commit_id(recorded.version)
    if commit and source.git.succeeds("merge-base", "--is-ancestor", target.commit, commit):
        return None
    return target


def is_newest(recorded: Recorded) -> bool:
    """Tell whether the project is at the newest release, as far as names alone show it."""
    if carried_version(recorded.source) == recorded.version:
        return True
    place = Path(recorded.source).expanduser()
    if not (place.is_absolute() and place.is_dir()):
        return False
    return Source(recorded.source, place).newest_release() == recorded.version


def find_route(recorded: Recorded, request: Request, workspace: Path) -> Route | None:
    """Return where the update goes, or None if there is nothing to do.

    Raises LichError if the template cannot be found, or has not the version that is asked for
    or recorded.
    """
    source, old = _find(recorded, request, workspace)
    new = _target(recorded, request, source, old)
    unchanged = all(
        str(recorded.answers.get(name)) == str(v) for name, v in request.answers.items()
    )
    if new.commit == old.commit and source.url == recorded.source and unchanged:
        return None
    if not new.dirty:
        return Route(source, old, new)
    hint = f"{source.url} has changes that no commit holds: they are left out."
    return Route(source, old, replace(new, dirty=False), (hint,))


def _find(recorded: Recorded, request: Request, workspace: Path) -> tuple[Source, Version]:
    """Return the template and in it the version that made the project."""
    given = request.template or template_of(recorded)
    source = find_source(given, workspace)
    known = [recorded.version] if request.ref is None else [recorded.version, request.ref]
    if source.start is not None and None in map(source.commit_id, known):
        # The package carries its own release and the earlier ones; another may be elsewhere.
        with suppress(LichError):
            fetched = find_source(given, workspace, network=True)
            source = fetched if fetched.commit_id(recorded.version) else source
    commit = source.commit_id(recorded.version)
    if commit is None:
        raise LichError(
            f"The template {given} does not know {recorded.version}, the version that made the "
            "project: upgrade lich if that is newer, or give the template's new place with "
            "--template."
        )
    return source, Version(commit, recorded.version)


def _target(recorded: Recorded, request: Request, source: Source, old: Version) -> Version:
    if request.ref is not None:
        return source.version(request.ref)
    if request.keeps_version:
        return old
    return newest(recorded, source) or old
