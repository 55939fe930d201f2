"""All that the commands print, for people and, with `--json`, for programs.

It imports nothing of an update itself: most often the report is that there is nothing to do.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from lich_wrapper.errors import LichError

if TYPE_CHECKING:
    from lich_wrapper.init import Created
    from lich_wrapper.update.branch import Branch, Tested
    from lich_wrapper.update.plan import Plan

__all__ = [
    "check",
    "colour",
    "created",
    "error",
    "interrupted",
    "note",
    "nothing",
    "plan",
    "unread",
]

_DIFF: Final = {"+": "green", "-": "red", "@": "cyan"}


def colour() -> bool | None:
    """Tell click not to colour, or to colour on a terminal only."""
    return False if os.environ.get("NO_COLOR") else None


def error(problem: str) -> None:
    """Print what went wrong and what to do."""
    click.secho("Error: ", fg="red", bold=True, nl=False, err=True, color=colour())
    click.echo(problem, err=True)


def interrupted() -> None:
    """Print that the user stopped the command."""
    click.echo("Interrupted.", err=True)


def note(text: str) -> None:
    """Print what the user should know beside the result."""
    click.echo(f"Note: {text}", err=True)


@contextmanager
def unread(*, done: bool) -> Iterator[None]:
    """Keep the exit code of a command from depending on whether its report is read to the end.

    A reader such as `head` may close it. If it cannot be written otherwise, that is an error, unless
    the command has done something: then it is a note.
    """
    try:
        yield
    except OSError as problem:
        # What is still in the stream's buffer must not fail again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(problem, BrokenPipeError):
            return
        if not done:
            raise LichError(f"The report cannot be written: {problem.strerror}.") from problem
        note(f"it is done, but the report cannot be written: {problem.strerror}.")


def created(
    project: "Created", dest: str, template: str | None, *, dry_run: bool, as_json: bool
) -> None:
    """Print the new project's files or the next steps, and how to make the same again.

    `dest` and `template` are as the user gave them.
    """
    import shlex

    command = _recreate(project, dest, template)
    if as_json:
        _json(
            {
                "dry_run": dry_run,
                "destination": str(project.path),
                "template": {
                    "source": project.source.url,
                    "version": project.version.name,
                    "commit": project.version.commit,
                },
                "answers": project.answers,
                "files": project.files,
                "commit": project.commit,
                "notes": project.notes,
                "command": command,
            }
        )
        return
    for text in project.notes:
        note(text)
    if dry_run:
        click.echo(f"{project.path}/ (nothing is written)")
        click.echo("\n".join(_tree(project.files)))
        return
    click.secho(f"{project.answers.get('project_name', dest)} is ready.", fg="green", bold=True)
    click.echo("\nNext:")
    if project.path != Path.cwd():
        click.echo(f"  {shlex.join(['cd', dest])}")
    for step in ("uv sync", "uv run honcho start", "uv run pytest"):
        click.echo(f"  {step}")
    click.echo(f"\nThe same project again:\n  {command}")


def check(current: str, newest: str | None, *, as_json: bool) -> None:
    """Print whether an update exists."""
    if as_json:
        _json({"update": newest is not None, "current": current, "newest": newest or current})
    elif newest is None:
        click.echo(f"The project is up to date at {current}.")
    else:
        click.echo(f"The project is at {current}, and {newest} is out: run `lich update`.")


def nothing(current: str, *, as_json: bool) -> None:
    """Print that there is nothing to do."""
    if as_json:
        _json({"status": "up to date", "from": current, "to": current, "files": []})
    else:
        click.echo(f"Nothing to do: the project is up to date at {current}.")


def plan(update: "Plan", path: Path, problem: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Print what becomes of every file, and how to go on.

    `path` is the project as the user gave it; with a problem, the update is not applied.
    """
    import shlex

    where = [] if path == Path() else ["-C", str(path)]
    undo = shlex.join(["git", *where, "restore", "--source=HEAD", "--staged", "--worktree", "."])
    if as_json:
        _plan_as_json(update, problem, undo, dry_run=dry_run)
    elif dry_run or not problem:
        _plan_for_people(update, undo, dry_run=dry_run)


def proposal(
    update: "Plan", name: str, branch: "Branch | None", tested: "Tested | None", *, as_json: bool
) -> None:
    """Print what an update on a branch is, as Markdown; without `branch` it is a dry run."""
    if as_json:
        more = {
            "branch": name,
            "commit": branch and branch.commit,
            "refreshed": branch is not None and branch.changed,
            "tests": tested
            and {"command": tested.command, "passed": tested.passed, "output": tested.output},
        }
        _plan_as_json(update, None, f"git branch -D {name}", dry_run=branch is None, more=more)
        return
    from lich_wrapper.update.summary import summary

    click.echo(summary(update, name, tested))


def _plan_as_json(
    update: "Plan",
    problem: str | None,
    undo: str,
    *,
    dry_run: bool,
    more: Mapping[str, Any] | None = None,
) -> None:
    from lich_wrapper.update.plan import Kind

    if problem:
        status = "refused"
    elif update.of(Kind.CONFLICTING):
        status = "conflicts"
    else:
        status = "planned" if dry_run else "updated"
    _json(
        {
            "status": status,
            "dry_run": dry_run,
            "source": update.source,
            "from": update.old,
            "to": update.new,
            "answers": _changed_answers(update),
            "files": [{"path": p, "result": kind} for p, kind in update.kinds.items()],
            "problem": problem,
            "hints": update.hints,
            "settings": {
                "gained": [
                    {"name": name, "default": default or None}
                    for name, default in update.settings.gained.items()
                ],
                "lost": update.settings.lost,
            },
            "notes": [{"version": n.version, "text": n.text} for n in update.notes],
            "diff": update.diff,
            "undo": undo,
            **(more or {}),
        }
    )


def _plan_for_people(update: "Plan", undo: str, *, dry_run: bool) -> None:
    from lich_wrapper.update.plan import Kind

    colours = {
        Kind.NEW: "green",
        Kind.CHANGED: "cyan",
        Kind.REMOVED: "yellow",
        Kind.CONFLICTING: "red",
        Kind.REMOVED_EDITED: "red",
        Kind.KEPT: "blue",
    }
    versions = update.new if update.old == update.new else f"{update.old} -> {update.new}"
    click.secho(f"{'Would update' if dry_run else 'Updated'}: {versions}", bold=True)
    for name, (before, after) in _changed_answers(update).items():
        click.echo(f"  answer {name}: {before} -> {after}")
    for name, default in update.settings.gained.items():
        given = f"default {default}" if default else "no default"
        click.echo(f"  new setting {name}: {given}")
    for name in update.settings.lost:
        click.echo(f"  setting {name} is gone")
    for release in update.notes:
        click.secho(f"\nNew in {release.version}", bold=True)
        click.echo(release.text)
    click.echo()
    for kind in Kind:
        for file in update.of(kind):
            click.secho(f"  {kind}: ", fg=colours[kind], nl=False)
            click.echo(file)
    for hint in update.hints:
        click.echo(f"Note: {hint}")
    if dry_run:
        click.echo()
        for line in update.diff.splitlines():
            click.secho(line, fg=_DIFF.get(line[:1]))
        return
    if conflicts := update.of(Kind.CONFLICTING):
        click.echo(
            f"\n{len(conflicts)} file(s) need you: resolve what stands between the markers, "
            "`git add` each, and commit."
        )
    else:
        click.echo("\nLook at it with `git diff --staged`, test it, and commit.")
    click.echo(f"To undo all of it: {undo}")


def _changed_answers(update: "Plan") -> dict[str, tuple[Any, Any]]:
    old, new = update.old_answers, update.new_answers
    return {
        name: (old.get(name), new.get(name))
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    }


def _recreate(project: "Created", dest: str, template: str | None) -> str:
    """Return the command that makes the same project again."""
    import shlex

    words = ["lich", "init", dest]
    for name, answer in project.answers.items():
        if name == "task_runner":
            words[3:3] = ["-t", str(answer)]
        else:
            words += ["-d", f"{name}={answer}"]
    if template:
        words += ["--template", template]
    return shlex.join([*words, "-r", project.version.name, "-l"])


def _tree(files: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines that show relative paths as a tree."""
    root: dict[str, Any] = {}
    for file in files:
        folder = root
        for name in file.split("/"):
            folder = folder.setdefault(name, {})

    def lines(folder: dict[str, Any], margin: str) -> Iterator[str]:
        for number, (name, below) in enumerate(folder.items(), start=1):
            last = number == len(folder)
            yield f"{margin}{'└── ' if last else '├── '}{name}{'/' if below else ''}"
            yield from lines(below, margin + ("    " if last else "│   "))

    yield from lines(root, "")


def _json(result: Mapping[str, Any]) -> None:
    import json

    click.echo(json.dumps(result, ensure_ascii=False, indent=2, default=str))
