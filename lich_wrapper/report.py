"""Tells what an update does or would do, for a person and for a program.

It imports nothing of an update itself: most often the report is that there is nothing to do.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from lich_wrapper.update.plan import Plan

__all__ = ["check", "nothing", "plan"]

_DIFF: Final = {"+": "green", "-": "red", "@": "cyan"}


def check(current: str, newest: str | None, *, as_json: bool) -> None:
    """Tell whether an update exists."""
    if as_json:
        _json({"update": newest is not None, "current": current, "newest": newest or current})
    elif newest is None:
        click.echo(f"The project is up to date at {current}.")
    else:
        click.echo(f"The project is at {current}, and {newest} is out: run `lich update`.")


def nothing(current: str, *, as_json: bool) -> None:
    """Tell that there is nothing to do."""
    if as_json:
        _json({"status": "up to date", "from": current, "to": current, "files": []})
    else:
        click.echo(f"Nothing to do: the project is up to date at {current}.")


def plan(
    update: "Plan",
    path: Path,
    problem: str | None,
    *,
    dry_run: bool,
    as_json: bool,
    colour: bool | None,
) -> None:
    """Tell what becomes of every file, and how to go on."""
    import shlex

    from lich_wrapper.update.plan import Kind

    colours = {
        Kind.NEW: "green",
        Kind.CHANGED: "cyan",
        Kind.REMOVED: "yellow",
        Kind.CONFLICTING: "red",
        Kind.REMOVED_EDITED: "red",
        Kind.KEPT: "blue",
    }
    conflicts = update.of(Kind.CONFLICTING)
    where = [] if path == Path() else ["-C", str(path)]
    undo = shlex.join(["git", *where, "restore", "--source=HEAD", "--staged", "--worktree", "."])
    if as_json:
        done = "refused" if problem else "planned" if dry_run else "updated"
        _json(
            {
                "status": "conflicts" if conflicts and not problem else done,
                "dry_run": dry_run,
                "source": update.source,
                "from": update.old,
                "to": update.new,
                "answers": _answers(update),
                "files": [{"path": p, "result": kind} for p, kind in update.kinds.items()],
                "problem": problem,
                "hints": update.hints,
                "notes": [{"version": n.version, "text": n.text} for n in update.notes],
                "diff": update.diff,
                "undo": undo,
            }
        )
        return
    if problem and not dry_run:
        return
    whither = update.new if update.old == update.new else f"{update.old} -> {update.new}"
    click.secho(f"{'Would update' if dry_run else 'Updated'}: {whither}", bold=True, color=colour)
    for name, (before, after) in _answers(update).items():
        click.echo(f"  answer {name}: {before} -> {after}")
    for release in update.notes:
        click.secho(f"\nNew in {release.version}", bold=True, color=colour)
        click.echo(release.text)
    click.echo()
    for kind in Kind:
        for file in update.of(kind):
            click.secho(f"  {kind}: ", fg=colours[kind], nl=False, color=colour)
            click.echo(file)
    for hint in update.hints:
        click.echo(f"Note: {hint}")
    if dry_run:
        click.echo()
        for line in update.diff.splitlines():
            click.secho(line, fg=_DIFF.get(line[:1]), color=colour)
        return
    if conflicts:
        click.echo(
            f"\n{len(conflicts)} file(s) need you: resolve what stands between the markers, "
            "`git add` each, and commit."
        )
    else:
        click.echo("\nLook at it with `git diff --staged`, test it, and commit.")
    click.echo(f"To undo all of it: {undo}")


def _answers(update: "Plan") -> dict[str, tuple[Any, Any]]:
    old, new = update.old_answers, update.new_answers
    return {
        name: (old.get(name), new.get(name))
        for name in [*old, *(name for name in new if name not in old)]
        if old.get(name) != new.get(name)
    }


def _json(told: dict[str, Any]) -> None:
    import json

    click.echo(json.dumps(told, ensure_ascii=False, indent=2, default=str))
