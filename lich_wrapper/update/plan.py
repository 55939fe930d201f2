"""Plans an update: renders the old and the new project and has git merge the user's into it."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lich_wrapper.errors import LichError
from lich_wrapper.template.answers import (
    ANSWERS_FILE,
    RUNNER,
    Questions,
    check_answers,
    read_config,
)
from lich_wrapper.template.render import Rendered, export, render
from lich_wrapper.template.source import Source, Version
from lich_wrapper.update.apply import Change, apply, obstacles
from lich_wrapper.update.merge import OURS, Entry, Merged, Scratch, require_merge_tree
from lich_wrapper.update.notes import ReleaseNotes, release_notes
from lich_wrapper.update.project import Project, Recorded, values
from lich_wrapper.update.route import Route, Wish

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
    require_merge_tree()
    recorded = project.recorded()
    source, old, new = route.source, route.old, route.new
    template = export(source, new, workspace / "new-template")
    questions = Questions.read(template)
    check_answers(wish.answers, questions)
    _check_recorded(recorded, wish, questions, new)

    old_template = template
    if old != new or source.url != recorded.source:
        origin = replace(source, url=recorded.source)
        old_template = export(origin, old, workspace / "old-template")
    before = _render_old(recorded, old_template, template, old, workspace / "old" / project.name)
    scratch = Scratch.create(workspace, project, keep=keep)
    records = _Records(scratch, project.tree(), f"template-{new.name}")
    base = scratch.write_tree(before.folder)
    switches = str(wish.answers.get(RUNNER, "")) not in ("", str(recorded.answers.get(RUNNER)))
    steps = [wish.answers]
    if switches and old != new and _still_fits(recorded, questions):
        # What the new version renames is found in a step of its own.
        steps.insert(0, {})
    for number, answers in enumerate(steps):
        folder = workspace / f"new-{number}" / project.name
        folder.mkdir(parents=True)
        (folder / ANSWERS_FILE).write_text(recorded.text, encoding="utf-8")
        after = render(template, folder, answers)
        theirs = scratch.write_tree(folder)
        records.merge(base, theirs, switch=switches and answers is wish.answers)
        base = theirs
    _check_kept(recorded, wish, after.answers, questions, new)

    changes = records.changes()
    return Plan(
        project,
        source.url,
        old.name,
        new.name,
        recorded.values(),
        values(after.answers),
        records.kinds(),
        changes,
        _notes(source, old, new, recorded, after.answers),
        (
            *route.hints,
            *_question_hints(recorded, after.answers, questions),
            *records.moves,
        ),
        scratch.diff(records.ours, records.tree),
        obstacles(project, [change for change in changes if change.old != change.new]),
    )


def _render_old(
    recorded: Recorded, old_template: Path, template: Path, old: Version, folder: Path
) -> Rendered:
    # As in Copier's update: what the new template excludes does not count as removed.
    exclude = tuple(map(str, read_config(template).get("_exclude") or ()))
    try:
        return render(old_template, folder, recorded.values(), exclude=exclude)
    except LichError as problem:
        raise LichError(
            f"The recorded answers do not fit the template at {old.name} ({problem}): bring "
            f"{ANSWERS_FILE} back from an older commit."
        ) from problem


class _Records:
    """The result as it grows from the user's tree, and what git could not merge into it."""

    def __init__(self, scratch: Scratch, ours: str, label: str) -> None:
        self.scratch = scratch
        self.ours = self.tree = ours
        self.label = label
        self.moves: list[str] = []
        self.kept: set[str] = set()
        self.removed: set[str] = set()
        self.unmerged: dict[str, Mapping[int, Entry]] = {}
        self._known: tuple[str, dict[str, tuple[Entry | None, Entry | None]]] | None = None

    def merge(self, base: str, theirs: str, *, switch: bool) -> None:
        """Merge what the template changed between two renders."""
        if switch:
            # A file of one runner is never a renamed file of another, however alike they
            # look: as long as nothing is added, there is nothing that git takes for it.
            middle = self.scratch.without_added(base, theirs)
            self._add(self.scratch.merge(base, self.tree, middle, self.label))
            base = middle
        else:
            self._note_moves(base, theirs)
        self._add(self.scratch.merge(base, self.tree, theirs, self.label))

    def changes(self) -> tuple[Change, ...]:
        """Return what becomes of every file that the result or the index holds otherwise."""
        differences = self._differences()
        states = {path: self._same(path) for path in self.unmerged.keys() - differences.keys()}
        return tuple(
            Change(path, before, after, self.unmerged.get(path, {}))
            for path, (before, after) in sorted({**differences, **states}.items())
        )

    def kinds(self) -> dict[str, Kind]:
        """Return in one word what becomes of every file."""
        kinds = {}
        for path, (old, new) in self._differences().items():
            kinds[path] = Kind.NEW if old is None else Kind.REMOVED if new is None else Kind.CHANGED
        kinds |= dict.fromkeys(self.kept - kinds.keys(), Kind.KEPT)
        kinds |= dict.fromkeys(self.removed, Kind.REMOVED_EDITED)
        kinds |= dict.fromkeys(self.unmerged, Kind.CONFLICTING)
        return dict(sorted(kinds.items()))

    def _differences(self) -> dict[str, tuple[Entry | None, Entry | None]]:
        if self._known is None or self._known[0] != self.tree:
            self._known = (self.tree, self.scratch.differences(self.ours, self.tree))
        return self._known[1]

    def _add(self, merged: Merged) -> None:
        dropped = []
        for path, stages in merged.unmerged.items():
            # A file in the way of a folder is given the name of its side by git.
            plain = path.removesuffix(f"~{OURS}").removesuffix(f"~{self.label}")
            if set(stages) == _USER_REMOVED:
                self.kept.add(plain)
                dropped.append(path)
            elif set(stages) == _TEMPLATE_REMOVED:
                self.removed.add(plain)
                self.unmerged.pop(path, None)
                dropped.append(path)
            else:
                self.unmerged[path] = stages
        self.tree = self.scratch.without(merged.tree, dropped)

    def _note_moves(self, base: str, theirs: str) -> None:
        """Tell where the user's changes of a file are that the template renamed."""
        edited = self.scratch.differences(base, self.tree)
        self.moves += [
            f"The template renamed {old} to {new}: your changes of it are there now."
            for old, new in self.scratch.renames(base, theirs).items()
            if edited.get(old, (None, None))[1] is not None
        ]

    def _same(self, path: str) -> tuple[Entry | None, Entry | None]:
        """Return the state of a file that the result holds as the user has it."""
        listed = self.scratch.git()("ls-tree", "-z", self.tree, "--", path).rstrip("\0")
        if not listed:
            return None, None
        mode, _, object_id = listed.partition("\t")[0].split(" ")
        entry = Entry(mode, object_id)
        return entry, entry


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
    wish: Wish,
    answers: Mapping[str, Any],
    questions: Questions,
    new: Version,
) -> None:
    for name, value in recorded.values().items():
        if name in wish.answers or name not in answers or name not in questions:
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
        for name, value in values(answers).items()
        if name not in known
    ] + [
        f"The template no longer asks for {name}, to which you answered {value!r}."
        for name, value in known.items()
        if name not in questions
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
