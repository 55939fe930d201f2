"""Plans an update: renders the old and the new project and has git merge the user's into it."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lich_wrapper.answers import ANSWERS_FILE, RUNNER, Questions, check_answers
from lich_wrapper.apply import Change, apply, obstacles
from lich_wrapper.errors import LichError
from lich_wrapper.merge import Entry, Merged, Scratch, require_merge_tree
from lich_wrapper.notes import ReleaseNotes, release_notes
from lich_wrapper.project import Project, Recorded
from lich_wrapper.render import configuration, export, render
from lich_wrapper.route import Route, Wish
from lich_wrapper.source import Source, Version

__all__ = ["Kind", "Plan", "plan_update"]


class Kind(enum.StrEnum):
    """What becomes of a file."""

    NEW = "new"
    CHANGED = "changed"
    REMOVED = "removed"
    CONFLICTING = "conflicting"
    REMOVED_EDITED = "removed although you edited it"
    KEPT = "kept as you have it"


@dataclass(frozen=True, slots=True)
class Plan:
    """An update that is computed to the last byte, and not applied yet."""

    project: Project
    source: str
    old: str
    new: str
    old_answers: Mapping[str, Any]
    new_answers: Mapping[str, Any]
    kinds: Mapping[str, Kind]
    changes: tuple[Change, ...]
    notes: tuple[ReleaseNotes, ...]
    hints: tuple[str, ...]
    diff: str
    obstacle: str | None

    def of(self, kind: Kind) -> list[str]:
        """Return the files of one kind."""
        return [path for path, its in self.kinds.items() if its is kind]

    @property
    def is_empty(self) -> bool:
        """Tell whether the project stays as it is."""
        return not self.changes

    def problem(self, *, removals: bool) -> str | None:
        """Say why the update must not be applied, or None; `removals` accepts lost edits."""
        if self.obstacle:
            return self.obstacle
        edited = self.of(Kind.REMOVED_EDITED)
        if edited and not removals:
            return (
                f"The update removes {', '.join(edited)}, which you edited: look with --dry-run "
                "and accept it with --yes; your last commit keeps what you wrote."
            )
        return None

    def apply(self) -> None:
        """Write the result into the work tree and the index."""
        apply(self.project, list(self.changes))


# What the stages say that git left of a file: 1 the old template's, 2 the user's, 3 the new
# template's.
_USER_REMOVED: Final = {1, 3}
_TEMPLATE_REMOVED: Final = {1, 2}


def plan_update(project: Project, route: Route, wish: Wish, workspace: Path, *, keep: bool) -> Plan:
    """Compute the update.

    `keep` writes what is computed to the project's own objects, so that it can be applied.
    """
    source, old, new = route.source, route.old, route.new
    recorded = project.recorded()
    require_merge_tree()

    template = export(source, new, workspace / "new-template")
    questions = Questions.read(template)
    check_answers(wish.answers, questions)
    _check_recorded(recorded, wish, questions, new)
    changed = {
        name: value
        for name, value in wish.answers.items()
        if str(recorded.answers.get(name)) != str(value)
    }
    name = project.path.name or "project"

    old_template = template
    if old.commit != new.commit or source.url != recorded.source or old.name != new.name:
        origin = Source(recorded.source, source.repository, settings=source.settings)
        old_template = export(origin, old, workspace / "old-template")
    exclude = tuple(map(str, configuration(template).get("_exclude") or ()))
    try:
        before = render(old_template, workspace / "old" / name, recorded.values(), exclude=exclude)
    except LichError as problem:
        raise LichError(
            f"The recorded answers do not fit the template at {old.name} ({problem}): bring "
            f"{ANSWERS_FILE} back from an older commit."
        ) from problem

    scratch = Scratch.create(workspace, project, keep=keep)
    base = scratch.write_tree(before.folder)
    ours = project.tree()
    label = f"template-{new.name}"
    switches = RUNNER in changed
    steps: list[tuple[Mapping[str, Any], bool]] = [(wish.answers, switches)]
    if switches and old.commit != new.commit and _still_fits(recorded, questions):
        steps.insert(0, ({}, False))
    tree, records = ours, _Records()
    moves: list[str] = []
    for number, (answers, is_switch) in enumerate(steps):
        folder = workspace / f"new-{number}" / name
        folder.mkdir(parents=True)
        (folder / ANSWERS_FILE).write_text(recorded.text, encoding="utf-8")
        after = render(template, folder, answers)
        theirs = scratch.write_tree(folder)
        if is_switch:
            # A file of one runner is never a renamed file of another, however alike they
            # look: with nothing added there is nothing that git could take for it.
            middle = scratch.without_added(base, theirs)
            tree = records.add(scratch.merge(base, tree, middle, label), scratch)
            base = middle
        else:
            moves += _moves(scratch, base, tree, theirs)
        tree = records.add(scratch.merge(base, tree, theirs, label), scratch)
        base = theirs
    _check_kept(recorded, changed, after.answers, questions, new)

    differences = scratch.differences(ours, tree)
    changes = tuple(
        Change(path, *differences.get(path, (None, None)), records.unmerged.get(path, {}))
        if path in differences
        else Change(path, *_same(scratch, tree, path), records.unmerged[path])
        for path in sorted({*differences, *records.unmerged})
    )
    return Plan(
        project,
        source.url,
        old.name,
        new.name,
        recorded.values(),
        {k: v for k, v in after.answers.items() if not k.startswith("_")},
        _kinds(differences, records),
        changes,
        _notes(source, old, new, recorded, after.answers),
        (*route.hints, *_question_hints(recorded, after.answers, questions), *moves),
        scratch.diff(ours, tree),
        obstacles(project, [change for change in changes if change.old != change.new]),
    )


class _Records:
    """What git could not merge, over all steps, and what the rules made of it."""

    def __init__(self) -> None:
        self.unmerged: dict[str, Mapping[int, Entry]] = {}
        self.kept: set[str] = set()
        self.removed: set[str] = set()

    def add(self, merged: Merged, scratch: Scratch) -> str:
        """Sort one step's records and return its tree without what is to go."""
        dropped = []
        for path, stages in merged.unmerged.items():
            if set(stages) == _USER_REMOVED:
                self.kept.add(path)
                dropped.append(path)
            elif set(stages) == _TEMPLATE_REMOVED:
                self.removed.add(path)
                self.unmerged.pop(path, None)
                dropped.append(path)
            else:
                self.unmerged[path] = stages
        return scratch.without(merged.tree, dropped)


def _same(scratch: Scratch, tree: str, path: str) -> tuple[Entry | None, Entry | None]:
    """Return the entry of a file that the result holds as the user has it."""
    listed = scratch.git()("ls-tree", "-z", tree, "--", path).rstrip("\0")
    if not listed:
        return None, None
    mode, _, object_id = listed.partition("\t")[0].split(" ")
    entry = Entry(mode, object_id)
    return entry, entry


def _kinds(
    differences: Mapping[str, tuple[Entry | None, Entry | None]], records: _Records
) -> dict[str, Kind]:
    kinds = {}
    for path, (before, after) in differences.items():
        kinds[path] = (
            Kind.NEW if before is None else Kind.REMOVED if after is None else Kind.CHANGED
        )
    kinds |= dict.fromkeys(records.kept - differences.keys(), Kind.KEPT)
    kinds |= dict.fromkeys(records.removed, Kind.REMOVED_EDITED)
    kinds |= dict.fromkeys(records.unmerged, Kind.CONFLICTING)
    return dict(sorted(kinds.items()))


def _check_recorded(recorded: Recorded, wish: Wish, questions: Questions, new: Version) -> None:
    for name, value in recorded.values().items():
        question = questions.get(name)
        if question is None or question.computed or name in wish.answers:
            continue
        if (problem := question.problem(value)) is not None:
            raise LichError(
                f"{name} is {value!r}, which the template no longer takes at {new.name}: "
                f"{problem}, with -d {name}=…"
            )


def _still_fits(recorded: Recorded, questions: Questions) -> bool:
    question = questions.get(RUNNER)
    return question is not None and question.problem(recorded.answers.get(RUNNER)) is None


def _check_kept(
    recorded: Recorded,
    changed: Mapping[str, Any],
    answers: Mapping[str, Any],
    questions: Questions,
    new: Version,
) -> None:
    for name, value in recorded.values().items():
        if name in changed or name not in answers or name not in questions:
            continue
        if answers[name] != value:
            raise LichError(
                f"{name} is {value!r}, which the template no longer takes at {new.name}: give "
                f"another with -d {name}=…, for example {answers[name]!r}."
            )


def _question_hints(
    recorded: Recorded, answers: Mapping[str, Any], questions: Questions
) -> list[str]:
    known = recorded.values()
    return [
        f"New question {name}: {value!r} is taken, change it with `lich update -d {name}=…`."
        for name, value in answers.items()
        if not name.startswith("_") and name not in known
    ] + [
        f"The template no longer asks for {name}, to which you answered {value!r}."
        for name, value in known.items()
        if name not in questions
    ]


def _moves(scratch: Scratch, base: str, ours: str, theirs: str) -> list[str]:
    """Tell where the user's changes of a file are that the template renamed."""
    edited = scratch.differences(base, ours)
    return [
        f"The template renamed {old} to {new}: your changes of it are there now."
        for old, new in scratch.renames(base, theirs).items()
        if edited.get(old, (None, None))[1] is not None
    ]


def _notes(
    source: Source, old: Version, new: Version, recorded: Recorded, answers: Mapping[str, Any]
) -> tuple[ReleaseNotes, ...]:
    if old.commit == new.commit:
        return ()
    changelog = source.git.run("cat-file", "blob", f"{new.commit}:CHANGELOG.md", ok=(0, 128))
    runners = {str(its.get(RUNNER)) for its in (recorded.answers, answers)}
    text = changelog.stdout.decode(errors="replace")
    return tuple(release_notes(text, old.name, new.name, runners))
