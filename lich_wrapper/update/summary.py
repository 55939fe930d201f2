"""An update as Markdown, for the text of a pull request."""

import re
from collections.abc import Iterable, Iterator

from lich_wrapper.update.branch import Tested, title
from lich_wrapper.update.plan import Kind, Plan

__all__ = ["summary"]

# A forge takes some 65,000 characters for a pull request: each part has its share.
_MOST_FILES = 200
_MOST_CHARACTERS = 12_000


def summary(plan: Plan, branch: str, tested: Tested | None) -> str:
    """Return what a reviewer needs to know, what needs them first."""
    return "\n".join([f"{title(plan)}.", *_sections(plan, branch, tested)])


def _sections(plan: Plan, branch: str, tested: Tested | None) -> Iterator[str]:
    if conflicts := plan.of(Kind.CONFLICTING):
        yield from _heading("Conflicts")
        yield (
            f"These files need a person: `git switch {branch}`, resolve what stands between the "
            "markers, and commit.\n"
        )
        yield from _files(conflicts)
    if removed := plan.of(Kind.REMOVED_EDITED):
        yield from _heading("Removed although you edited them")
        yield from _files(removed)
    if plan.settings.gained or plan.settings.lost:
        yield from _heading("Settings")
        for name, default in plan.settings.gained.items():
            given = f"default {_code(default)}" if default else "**no default**"
            yield f"- New: {_code(name)}, {given}"
        yield from (f"- Gone: {_code(name)}" for name in plan.settings.lost)
    if tested is not None:
        yield from _heading("Tests")
        yield f"{_code(tested.command)} {'passed' if tested.passed else '**failed**'}.\n"
        yield _block(tested.output[-_MOST_CHARACTERS:])
    if plan.hints:
        yield from _heading("Notes")
        yield from (f"- {hint}" for hint in plan.hints)
    if plan.notes:
        yield from _heading("Release notes")
        notes = "\n\n".join(f"### {note.version}\n\n{note.text}" for note in plan.notes)
        cut = notes[:_MOST_CHARACTERS]
        yield cut if cut == notes else f"{cut.rpartition(chr(10))[0]}\n\n(The rest is cut.)"
    yield from _heading("Files")
    for kind in (Kind.NEW, Kind.CHANGED, Kind.REMOVED, Kind.KEPT):
        if files := plan.of(kind):
            yield f"\n{kind.capitalize()}:\n"
            yield from _files(files)


def _heading(text: str) -> Iterator[str]:
    yield f"\n## {text}\n"


def _files(paths: list[str]) -> Iterable[str]:
    yield from (f"- {_code(path)}" for path in paths[:_MOST_FILES])
    if len(paths) > _MOST_FILES:
        yield f"- and {len(paths) - _MOST_FILES} more"


def _code(text: str) -> str:
    """Return a text as a span of code, whatever is in it."""
    text = " ".join(text.split())
    fence = "`" * (1 + _longest_run(text))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def _block(text: str) -> str:
    fence = "`" * max(3, 1 + _longest_run(text))
    return f"{fence}text\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
