"""Reads the release notes between two versions out of the template's CHANGELOG.md."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lich_wrapper.template.source import base_release, release_number

if TYPE_CHECKING:
    from packaging.version import Version

__all__ = ["ReleaseNotes", "release_notes"]

# A bullet or a heading that opens with a runner's name is for its users only, as in
# `- Temporal: …`, bold or not; what opens with none is for everybody.
_RUNNERS: Final = ("temporal", "celery", "none")
_SECTION: Final = re.compile(r"^## +\[?v?(?P<version>[0-9][^\]\s]*|unreleased)\]?", re.IGNORECASE)
_BULLET: Final = re.compile(r"^[-*] +(?:\*\*)?(?P<names>[\w ,/]+):")
_HEADING: Final = re.compile(r"^#{3,} +(?P<names>.+?)\s*$")
_BLANKS: Final = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True)
class ReleaseNotes:
    """What a release says to the people who update to it."""

    version: str
    text: str


def release_notes(changelog: str, old: str, new: str, runners: set[str]) -> list[ReleaseNotes]:
    """Return the notes of all releases after `old` up to `new`, without other runners' parts.

    `changelog` is the text of a CHANGELOG.md; `old` and `new` are as `git describe` names them.
    """
    start, end = release_number(base_release(old)), release_number(base_release(new))
    # A commit after a release has what is not released yet.
    beyond = end is None or base_release(new) != new
    found = []
    for version, lines in _sections(changelog):
        number = release_number(version)
        wanted = beyond if number is None else _is_between(number, start, end)
        text = _BLANKS.sub("\n\n", "\n".join(_for_runners(lines, runners))).strip()
        if wanted and text:
            found.append(ReleaseNotes(version, text))
    return found


def _is_between(number: "Version", start: "Version | None", end: "Version | None") -> bool:
    # Without a number at the start it cannot be known what is new: then nothing is said
    # rather than everything. Without one at the end, that is the newest state.
    return start is not None and start < number and (end is None or number <= end)


def _sections(changelog: str) -> Iterator[tuple[str, list[str]]]:
    version = None
    lines: list[str] = []
    for line in changelog.splitlines():
        if (heading := _SECTION.match(line)) is not None:
            if version is not None:
                yield version, lines
            version, lines = heading["version"], []
        elif version is not None:
            lines.append(line)
    if version is not None:
        yield version, lines


def _for_runners(lines: list[str], runners: set[str]) -> Iterator[str]:
    """Leave out headings and bullets, with all that belongs to them, for other runners."""
    heading_wanted = bullet_wanted = True
    for line in lines:
        if (heading := _HEADING.match(line)) is not None:
            heading_wanted, bullet_wanted = _is_for(heading["names"], runners), True
            yield ""
        elif (bullet := _BULLET.match(line)) is not None:
            bullet_wanted = _is_for(bullet["names"], runners)
        elif line[:1] not in ("", " ", "\t"):
            bullet_wanted = True
        if heading_wanted and bullet_wanted:
            yield line


def _is_for(names: str, runners: set[str]) -> bool:
    named = {name.strip().lower() for name in re.split(r",|/| and ", names)}
    return not named <= set(_RUNNERS) or bool(named & runners)
