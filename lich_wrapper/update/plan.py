"""Computes an update: a three-way merge of the old render, the new render and the user's tree."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lich_wrapper.errors import LichError
from lich_wrapper.template.answers import ANSWERS_FILE, RUNNER, Questions, public, read_config
from lich_wrapper.template.render import export, render
from lich_wrapper.template.source import Source, Version
from lich_wrapper.update.apply import Change, apply, obstacles
from lich_wrapper.update.merge import OURS, Differences, Entry, Merged, Scratch, require_merge_tree
from lich_wrapper.update.native import native_jobs
from lich_wrapper.update.notes import ReleaseNotes, release_notes
from lich_wrapper.update.project import Project, Recorded
from lich_wrapper.update.route import Request, Route
from lich_wrapper.update.settings import Settings, compare_settings, read_settings

__all__ = ["Kind", "Plan", "plan_update"]


class Kind(enum.StrEnum):
    """What becomes of a file."""

    NEW = "new"
    CHANGED = "changed"
    REMOVED = "removed"
    CONFLICTING = "conflicting"
    REMOVED_EDITED = "removed although you edited it"
    KEPT = "kept as you have it"


@dataclass(frozen=True, slots=True, kw_only=True)
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
    settings: Settings
    diff: str
    obstacle: str | None

    def of(self, kind: Kind) -> list[str]:
        """Return the files of one kind."""
        return [path for path, its in self.kinds.items() if its is kind]

    @property
    def is_empty(self) -> bool:
        """Tell whether the project stays as it is."""
        return not self.changes

    def problem(self, *, accept_removals: bool) -> str | None:
        """Say why the update must not be applied, or None.

        Unless removals are accepted, one reason is that a file with edits would be removed.
        """
        if self.obstacle:
            return self.obstacle
        edited = self.of(Kind.REMOVED_EDITED)
        if edited and not accept_removals:
            return (
                f"The update removes {', '.join(edited)}, which you edited: look with --dry-run "
                "and accept it with --yes; your last commit keeps what you wrote."
            )
        return None

    def apply(self) -> tuple[str, ...]:
        """Write the result into the work tree and the index.

        Returns the new names of files that were saved at the last moment.
        """
        return apply(self.project, self.changes)


def plan_update(
    project: Project, route: Route, request: Request, workspace: Path, *, keep: bool
) -> Plan:
    """Compute the update; temporary files go into `workspace`.

    `keep` stores what is computed among the project's own objects, so that it can be applied.
    Raises LichError for answers that the template does not take.
    """
    require_merge_tree()
    recorded = project.recorded()
    source, old, new = route.source, route.old, route.new
    template = workspace / "template"
    export(source, new, template)
    questions = Questions.read(template)
    questions.check(request.answers)
    _check_recorded(recorded, request, questions, new)

    scratch = Scratch.create(workspace, project, keep=keep)
    before = _render_old(recorded, route, template, workspace / "old" / project.name)
    base = rendered_before = scratch.write_tree(before)
    result = _Result(scratch, project.tree, f"template-{new.name}")
    switches = str(request.answers.get(RUNNER, "")) not in ("", str(recorded.answers.get(RUNNER)))
    steps = [request.answers]
    if switches and old != new and _takes_recorded_runner(recorded, questions):
        # What the new version renames is found in a step of its own.
        steps.insert(0, {})
    for number, answers in enumerate(steps):
        folder = workspace / f"new-{number}" / project.name
        folder.mkdir(parents=True)
        (folder / ANSWERS_FILE).write_text(recorded.text, encoding="utf-8")
        rendered = render(template, folder, answers)
        theirs = scratch.write_tree(folder)
        result.merge(base, theirs, switch=switches and answers is request.answers)
        base = theirs
    new_answers = public(rendered.answers)
    _check_kept(recorded, request, new_answers, questions, new)

    changes = result.changes()
    hints = _question_hints(recorded.answers, new_answers, questions)
    if switches:
        hints += _native_hints(scratch, rendered_before, result.ours, request)
    runners = {str(answers.get(RUNNER)) for answers in (recorded.answers, new_answers)}
    return Plan(
        project=project,
        source=source.url,
        old=old.name,
        new=new.name,
        old_answers=recorded.answers,
        new_answers=new_answers,
        kinds=result.kinds(changes),
        changes=changes,
        notes=_notes(source, old, new, runners),
        hints=(*route.hints, *hints, *result.moves),
        settings=compare_settings(read_settings(before), read_settings(rendered.folder)),
        diff=scratch.diff(result.ours, result.tree),
        obstacle=obstacles(project, changes),
    )


def _render_old(recorded: Recorded, route: Route, template: Path, folder: Path) -> Path:
    """Render the project as the template made it; the template is the new version afterwards."""
    # As in Copier's update: what the new template excludes does not count as removed.
    exclude = tuple(map(str, read_config(template).get("_exclude") or ()))
    origin = replace(route.source, url=recorded.source)
    differs = (route.old, origin) != (route.new, route.source)
    if differs:
        export(origin, route.old, template)
    try:
        render(template, folder, recorded.answers, exclude=exclude)
    except LichError as problem:
        raise LichError(
            f"The recorded answers do not fit the template at {route.old.name} ({problem}): bring "
            f"{ANSWERS_FILE} back from an older commit."
        ) from problem
    if differs:
        export(route.source, route.new, template)
    return folder


# The stages that git leaves of a file that one side changed and the other removed.
_USER_REMOVED: Final = {1, 3}
_TEMPLATE_REMOVED: Final = {1, 2}


class _Result:
    """The user's tree with the template's changes, and what git could not merge into it."""

    def __init__(self, scratch: Scratch, ours: str, label: str) -> None:
        self.scratch = scratch
        self.ours = self.tree = ours
        self.label = label
        self.moves: list[str] = []
        self.kept: set[str] = set()
        self.removed: set[str] = set()
        self.unmerged: dict[str, Mapping[int, Entry]] = {}

    def merge(self, base: str, theirs: str, *, switch: bool) -> None:
        """Merge what the template changed between two renders."""
        if switch:
            # A file of one runner is never a renamed file of another, however alike they
            # look: as long as nothing is added, there is nothing that git takes for it.
            differences = self.scratch.differences(base, theirs)
            added = [path for path, (old, _) in differences.items() if old is None]
            middle = self.scratch.rewrite(theirs, dict.fromkeys(added))
            self._add(self.scratch.merge(base, self.tree, middle, self.label))
            base = middle
        else:
            self._note_moves(base, theirs)
        self._add(self.scratch.merge(base, self.tree, theirs, self.label))

    def changes(self) -> tuple[Change, ...]:
        """Return what becomes of every file that the result or the index holds otherwise."""
        states: Differences = dict.fromkeys(self.unmerged, (None, None))
        states |= self.scratch.differences(self.ours, self.tree)
        return tuple(
            Change(path, old, new, self.unmerged.get(path, {}))
            for path, (old, new) in sorted(states.items())
        )

    def kinds(self, changes: tuple[Change, ...]) -> dict[str, Kind]:
        """Return in one word what becomes of every file."""
        kinds = dict.fromkeys(self.kept, Kind.KEPT)
        for change in changes:
            if change.old is None:
                kinds[change.path] = Kind.NEW
            else:
                kinds[change.path] = Kind.REMOVED if change.new is None else Kind.CHANGED
        kinds |= dict.fromkeys(self.removed, Kind.REMOVED_EDITED)
        kinds |= dict.fromkeys(self.unmerged, Kind.CONFLICTING)
        return dict(sorted(kinds.items()))

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
        self.tree = self.scratch.rewrite(merged.tree, dict.fromkeys(dropped))

    def _note_moves(self, base: str, theirs: str) -> None:
        """Tell where the user's changes of a file are that the template renamed."""
        renames = self.scratch.renames(base, theirs)
        edited = self.scratch.differences(base, self.tree) if renames else {}
        self.moves += [
            f"The template renamed {old} to {new}: your changes of it are there now."
            for old, new in renames.items()
            if edited.get(old, (None, None))[1] is not None
        ]


def _check_recorded(
    recorded: Recorded, request: Request, questions: Questions, new: Version
) -> None:
    for name, answer in recorded.answers.items():
        question = questions.get(name)
        if question is None or question.computed or name in request.answers:
            continue
        if (problem := question.problem(answer)) is not None:
            raise LichError(
                f"{name} is {answer!r}, which the template no longer takes at {new.name}: "
                f"{problem}, with -d {name}=…"
            )


def _takes_recorded_runner(recorded: Recorded, questions: Questions) -> bool:
    question = questions.get(RUNNER)
    return question is not None and question.problem(recorded.answers.get(RUNNER)) is None


def _check_kept(
    recorded: Recorded,
    request: Request,
    answers: Mapping[str, Any],
    questions: Questions,
    new: Version,
) -> None:
    """Refuse an update in which Copier replaced a recorded answer by the default."""
    for name, answer in recorded.answers.items():
        if name in request.answers or name not in answers or name not in questions:
            continue
        if answers[name] != answer:
            raise LichError(
                f"{name} is {answer!r}, which the template no longer takes at {new.name}: give "
                f"another with -d {name}=…, for example {answers[name]!r}."
            )


def _question_hints(
    old: Mapping[str, Any], new: Mapping[str, Any], questions: Questions
) -> list[str]:
    return [
        f"New question {name}: {answer!r} is taken, change it with `lich update -d {name}=…`."
        for name, answer in new.items()
        if name not in old
    ] + [
        f"The template no longer asks for {name}, to which you answered {answer!r}."
        for name, answer in old.items()
        if name not in questions
    ]


def _native_hints(scratch: Scratch, before: str, ours: str, request: Request) -> list[str]:
    return [
        f"{path}: no implementation of {', '.join(names)} with {RUNNER} {request.answers[RUNNER]}: "
        "write it as a file of internal/jobs first if it is to run on every runner."
        for path, names in native_jobs(scratch, before, ours).items()
    ]


def _notes(
    source: Source, old: Version, new: Version, runners: set[str]
) -> tuple[ReleaseNotes, ...]:
    if old.commit == new.commit:
        return ()
    changelog = source.git.run("cat-file", "blob", f"{new.commit}:CHANGELOG.md", ok=(0, 128))
    text = changelog.stdout.decode(errors="replace")
    return tuple(release_notes(text, old.name, new.name, runners))
