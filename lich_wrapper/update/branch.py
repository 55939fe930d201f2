"""An update as a commit on a branch, for a pull request: work tree and index stay as they are."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lich_wrapper.errors import LichError
from lich_wrapper.git import USER, Git, configured, identity
from lich_wrapper.update.plan import Plan
from lich_wrapper.update.project import Project

__all__ = ["Branch", "Tested", "commit", "run_tests", "title"]

# By it a commit that may be replaced is told from those of people.
_TRAILER: Final = "Lich-Update"
_SHOWN_LINES: Final = 40


@dataclass(frozen=True, slots=True)
class Branch:
    """The branch, the commit of the update on it, and whether that is another one than before."""

    name: str
    commit: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Tested:
    """What a command said about the result of the update: the last lines of its output."""

    command: str
    passed: bool
    output: str


def title(plan: Plan) -> str:
    """Return the update in one line."""
    if plan.old == plan.new:
        return f"Change the answers of the project at template {plan.new}"
    return f"Update the project from template {plan.old} to {plan.new}"


def commit(plan: Plan, name: str, index: Path) -> Branch:
    """Commit the update on top of the last commit, and let the branch point to it.

    The branch is made, or refreshed if all that it holds is of earlier updates; `index` is a file
    that is written on the way. Raises LichError for a branch that holds the work of people.
    """
    project = plan.project
    tips = _tips(project, name)
    git = project.git_with(GIT_INDEX_FILE=str(index))
    git("read-tree", project.head)
    changes = [change for change in plan.changes if change.old != change.new]
    zero = "0" * len(project.head)
    # Removals first: a file may take the place of a folder.
    entries = [f"0 {zero}\t{project.prefix}{change.path}\0" for change in changes]
    entries += [
        f"{change.new.mode} {change.new.id}\t{project.prefix}{change.path}\0"
        for change in changes
        if change.new is not None
    ]
    git("update-index", "-z", "--index-info", stdin=os.fsencode("".join(entries)))
    tree = git("write-tree")
    for tip in tips.values():
        if project.git("show", "-s", "--format=%T %P", tip) == f"{tree} {project.head}":
            made = tip
            break
    else:
        message = f"{title(plan)}\n\n{_TRAILER}: {plan.old}..{plan.new}\n"
        author = project.git_with(**identity(configured(project.git, *USER)))
        made = author("commit-tree", tree, "-p", project.head, stdin=message.encode())
    ref = f"refs/heads/{name}"
    project.git("update-ref", "-m", "lich update", ref, made, tips.get(ref, zero))
    return Branch(name, made, changed=made not in tips.values())


def run_tests(project: Project, index: Path, folder: Path, command: str) -> Tested:
    """Run a command of the shell in a copy of what the index holds."""
    git = project.git_with(GIT_INDEX_FILE=str(index))
    Git(project.top, git.settings, git.variables, git.user_settings)(
        "checkout-index", "--all", f"--prefix={folder}/"
    )
    done = subprocess.run(  # noqa: S603
        ["/bin/sh", "-c", command],
        cwd=folder / project.prefix,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    lines = done.stdout.decode(errors="replace").splitlines()
    return Tested(command, done.returncode == 0, "\n".join(lines[-_SHOWN_LINES:]))


def _tips(project: Project, name: str) -> dict[str, str]:
    """Return the commits of the branch, here and as last fetched, by the names of their refs."""
    ref = f"refs/heads/{name}"
    if not project.git.succeeds("check-ref-format", "--branch", name):
        raise LichError(f"{name!r} cannot be the name of a branch: give another to --branch.")
    if f"branch {ref}" in project.git("worktree", "list", "--porcelain").splitlines():
        raise LichError(
            f"The branch {name} is checked out, and an update of it would change files: give another "
            "to --branch, or run `lich update` without it."
        )
    listed = project.git(
        "for-each-ref", "--format=%(objectname) %(refname)", ref, f"refs/remotes/*/{name}"
    )
    tips = {ref: tip for tip, ref in (line.split(" ", 1) for line in listed.splitlines())}
    for place, tip in tips.items():
        made_by = f"--format=%h %(trailers:key={_TRAILER},valueonly,separator=%x2C)"
        for line in project.git("log", made_by, tip, "--not", project.head).splitlines():
            made, _, trailer = line.partition(" ")
            if not trailer:
                raise LichError(
                    f"{place} holds the commit {made}, which lich did not make and would lose: merge "
                    "or delete that branch first, or give another name to --branch."
                )
    return tips
