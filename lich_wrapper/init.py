"""Makes a new project: checks everything first, renders beside its place, moves it there."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lich_wrapper.errors import LichError
from lich_wrapper.git import Git
from lich_wrapper.template.answers import RUNNER, Questions, check_answers
from lich_wrapper.template.render import Rendered, export, render
from lich_wrapper.template.source import Source, Version

__all__ = ["Created", "Place", "Request", "create"]

# Whoever has not introduced himself to git still gets a first commit: without one, no
# later update could tell his work from the template's.
NOBODY: Final = {
    "GIT_AUTHOR_NAME": "lich",
    "GIT_AUTHOR_EMAIL": "lich@localhost",
    "GIT_COMMITTER_NAME": "lich",
    "GIT_COMMITTER_EMAIL": "lich@localhost",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a project is to be: checked, and known to be free."""

    path: Path
    exists: bool

    @classmethod
    def check(cls, destination: str) -> "Place":
        """Refuse whatever is no free place for a project."""
        if not destination:
            raise LichError("The destination is empty: give a folder's name.")
        path = Path(os.path.realpath(destination))
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            _check_ancestor(path)
            return cls(path, exists=False)
        except OSError as problem:
            raise LichError(_unusable(destination, problem)) from problem
        if not path.is_dir():
            raise LichError(f"{destination} is a file: give a new folder's name.")
        try:
            held = next(iter(os.scandir(path)), None)
        except OSError as problem:
            raise LichError(_unusable(destination, problem)) from problem
        if held is not None:
            raise LichError(
                f"{destination} is not empty (it holds {held.name}): give a new folder's name, "
                "or run `lich update` in a project that exists."
            )
        _check_writable(path)
        return cls(path, exists=True)

    def ancestor(self) -> Path:
        """Return the nearest folder that exists."""
        return _nearest(self.path)

    def is_tracked(self) -> bool:
        """Tell whether a repository around the place would take the project for its own.

        What that repository ignores is none of its own, and needs a repository for updates.
        """
        git = Git(self.ancestor())
        if not git.succeeds("rev-parse", "--is-inside-work-tree"):
            return False
        return not git.succeeds("check-ignore", "--quiet", "--", f"{self.path}/")

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Give a folder of the final name near the place; it is gone afterwards.

        A new project is made beside its place, so that one rename shows all of it. An empty
        folder that exists may be a mount point: there it is made inside.
        """
        with ExitStack() as undo:
            parent = self.path if self.exists else self.path.parent
            for missing in reversed([p for p in (parent, *parent.parents) if not p.exists()]):
                missing.mkdir()
                # Only while it is empty, that is unless the project got there.
                undo.callback(_remove_if_empty, missing)
            temporary = Path(tempfile.mkdtemp(prefix=".lich-", dir=parent))
            undo.callback(shutil.rmtree, temporary, ignore_errors=True)
            yield temporary / self.path.name

    def fill(self, made: Path) -> None:
        """Move the finished project to its place."""
        if not self.exists:
            made.rename(self.path)
            return
        moved: list[Path] = []
        try:
            for entry in sorted(made.iterdir()):
                moved.append(self.path / entry.name)
                entry.rename(self.path / entry.name)
        except BaseException:
            for entry in moved:
                if entry.exists():
                    entry.rename(made / entry.name)
            raise


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    source: Source
    version: Version
    answers: Mapping[str, Any]
    ask: bool = False
    defaults: bool = False
    git: bool = True


@dataclass(frozen=True, slots=True)
class Created:
    """What was made, or would be."""

    answers: Mapping[str, Any]
    files: tuple[str, ...]
    commit: str | None = None
    notes: tuple[str, ...] = ()


def create(request: Request, place: Place, workspace: Path, *, dry_run: bool = False) -> Created:
    """Make the project at its place; after any failure the place is as it was."""
    template = export(request.source, request.version, workspace / "template")
    questions = Questions.read(template)
    check_answers(request.answers, questions)
    if not request.ask and not request.defaults:
        _require_answers(request.answers, questions)
    notes = []
    if request.version.dirty:
        notes.append(
            f"{request.source.url} has changes that no commit holds: they are in the project, "
            f"but its updates will start from {request.version.name}."
        )
    if dry_run:
        made = render(template, workspace / place.path.name, request.answers, ask=request.ask)
        return _created(request, made, None, notes)
    try:
        with place.staging() as folder:
            made = render(template, folder, request.answers, ask=request.ask)
            files = made.files()
            commit = None
            if request.git and not place.is_tracked():
                commit = _first_commit(folder, request.version, notes)
            place.fill(folder)
    except OSError as problem:
        raise LichError(_unusable(str(place.path), problem)) from problem
    return _created(request, made, files, notes, commit)


def _created(
    request: Request,
    made: Rendered,
    files: list[str] | None,
    notes: list[str],
    commit: str | None = None,
) -> Created:
    notes += [
        f"{name} was not used: these answers leave no place for it."
        for name in request.answers
        if name not in made.answers
    ]
    return Created(
        made.answers, tuple(made.files() if files is None else files), commit, tuple(notes)
    )


def _require_answers(answers: Mapping[str, Any], questions: Questions) -> None:
    if RUNNER in questions and RUNNER not in answers:
        raise LichError(
            "Nobody can be asked without a terminal: choose with --task-runner "
            f"{'|'.join(map(str, questions[RUNNER].choices))}, or take all defaults with "
            "--defaults."
        )
    for name, question in questions.items():
        if question.required and name not in answers:
            raise LichError(f"Nobody can be asked without a terminal: answer with -d {name}=VALUE.")


def _first_commit(folder: Path, version: Version, notes: list[str]) -> str:
    git = Git(folder)
    personal = git.run(
        "config", "--get-regexp", r"^(user\.(name|email)|init\.defaultbranch)$", ok=(0, 1)
    )
    known = {line.split(" ", 1)[0] for line in personal.stdout.decode().splitlines()}
    variables = {name: value for name in NOBODY if (value := os.environ.get(name))}
    if not {"user.name", "user.email"} <= known and variables.keys() != NOBODY.keys():
        variables = {**NOBODY, **variables}
        notes.append(
            "git does not know you yet, so the first commit is by lich: set user.name and "
            "user.email with git config --global."
        )
    git = Git(folder, variables=variables)
    branch = [] if "init.defaultbranch" in known else ["--initial-branch=main"]
    git("init", "--quiet", *branch)
    # Ignored or not: what the template wrote is what later updates start from.
    git("add", "--force", "--all")
    git(
        "commit", "--quiet", "--no-verify", "-m", f"Create the project from template {version.name}"
    )
    return git("rev-parse", "HEAD")


def _check_ancestor(path: Path) -> None:
    ancestor = _nearest(path)
    if not ancestor.is_dir():
        raise LichError(f"{ancestor} is a file: a project cannot be made inside of it.")
    _check_writable(ancestor)


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise LichError(f"{folder} is not writable: give a folder that you may write to.")


def _nearest(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return


def _unusable(destination: str, problem: OSError) -> str:
    shown = destination if len(destination) <= 80 else f"{destination[:60]}…"
    return f"{shown} cannot be made ({problem.strerror}): give another destination."
