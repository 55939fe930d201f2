"""Makes a new project: checks everything first, renders it elsewhere, moves it into place."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lich_wrapper.errors import LichError
from lich_wrapper.git import IDENTITY, NO_FILTERS, USER, Git, configured, identity
from lich_wrapper.template.answers import RUNNER, Questions, public
from lich_wrapper.template.render import export, render
from lich_wrapper.template.source import Source, Version
from lich_wrapper.temporary import is_abandoned, temporary_folder

__all__ = ["Created", "Destination", "Request", "create"]

# The beginning of the names of the folders in which projects are made.
_STAGING: Final = ".lich-"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a project is to be: checked, and known to be free."""

    path: Path
    exists: bool

    @classmethod
    def check(cls, destination: str) -> "Destination":
        """Check a path; raises LichError unless a project can be made there."""
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
            held = next((entry for entry in os.scandir(path) if not _is_left_over(entry)), None)
        except OSError as problem:
            raise LichError(_unusable(destination, problem)) from problem
        if held is not None:
            raise LichError(
                f"{destination} is not empty (it holds {held.name}): give a new folder's name, "
                "or run `lich update` in a project that exists."
            )
        _check_writable(path)
        return cls(path, exists=True)

    def is_tracked(self) -> bool:
        """Tell whether the project would be part of a repository that is around it.

        Where that repository ignores it, the project needs a repository of its own.
        """
        # A user without repositories around pays for no process.
        if not any(os.path.lexists(above / ".git") for above in self.path.parents):
            return False
        asked = ("check-ignore", "--quiet", "--", f"{self.path}/")
        # 0 is an ignored path, 1 another one; outside of a work tree it is an error.
        return Git(_nearest(self.path)).run(*asked, ok=None).returncode == 1

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Give a temporary folder with the final name near the destination.

        A new project is made beside its destination, so that one rename shows all of it. An empty
        folder that exists may be a mount point: there it is made inside.
        """
        with ExitStack() as undo:
            parent = self.path if self.exists else self.path.parent
            for missing in reversed([p for p in (parent, *parent.parents) if not p.exists()]):
                missing.mkdir()
                # Only while it is empty, that is unless the project got there.
                undo.callback(_remove_if_empty, missing)
            temporary = undo.enter_context(temporary_folder(_STAGING, parent))
            yield temporary / self.path.name

    def fill(self, made: Path) -> None:
        """Move the finished project to the destination, all of it or nothing."""
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
    """What the user asked for: a template's version, answers, and how to get the others."""

    source: Source
    version: Version
    answers: Mapping[str, Any]
    # Ask on the terminal for what is not answered.
    ask: bool = False
    # Take defaults even for what is better chosen.
    defaults: bool = False
    git: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """The project that was made, or would be: its files are relative paths."""

    path: Path
    source: Source
    version: Version
    answers: Mapping[str, Any]
    files: tuple[str, ...]
    commit: str | None
    notes: tuple[str, ...]


def create(
    request: Request, destination: Destination, workspace: Path, *, dry_run: bool = False
) -> Created:
    """Make the project; after any failure the destination is as it was.

    A dry run only renders, into `workspace`, a temporary folder. Raises LichError for answers
    that the template does not take, and for a destination that cannot be written.
    """
    version = request.version
    template = workspace / "template"
    export(request.source, version, template)
    questions = Questions.read(template)
    questions.check(request.answers)
    if not request.ask and not request.defaults:
        _require_answers(request.answers, questions)
    notes = []
    if version.dirty:
        notes.append(
            f"{request.source.url} has changes that no commit holds: they are in the project, "
            f"but its updates will start from {version.name}."
        )
    commit = None
    try:
        with (
            destination.staging()
            if not dry_run
            else nullcontext(workspace / destination.path.name) as folder
        ):
            rendered = render(template, folder, request.answers, ask=request.ask)
            if not dry_run:
                if request.git and not destination.is_tracked():
                    commit = _first_commit(folder, version, notes)
                destination.fill(folder)
    except OSError as problem:
        raise LichError(_unusable(str(destination.path), problem)) from problem
    notes += [
        f"{name} was not used: these answers leave no place for it."
        for name in request.answers
        if name not in rendered.answers
    ]
    return Created(
        path=destination.path,
        source=request.source,
        version=version,
        answers=public(rendered.answers),
        files=rendered.files,
        commit=commit,
        notes=tuple(notes),
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
    settings = configured(Git(folder), *USER, "init.defaultbranch")
    variables = identity(settings)
    if variables == IDENTITY:
        # Without a first commit, no later update could tell the user's work from the template's.
        notes.append(
            "git does not know you yet, so the first commit is by lich: set user.name and "
            "user.email with git config --global."
        )
    git = Git(folder, variables=variables)
    branch = [] if "init.defaultbranch" in settings else ["--initial-branch=main"]
    git("init", "--quiet", *branch)
    with _no_filters(folder / ".git/info/attributes"):
        # Ignored or not: what the template wrote is what later updates start from.
        git("add", "--force", "--all")
        message = f"Create the project from template {version.name}"
        git("commit", "--quiet", "--no-verify", "-m", message)
    return git("rev-parse", "HEAD")


@contextmanager
def _no_filters(attributes: Path) -> Iterator[None]:
    """Keep the attributes that the template wrote from running filters of the user."""
    # A user may have a template of repositories, with attributes.
    before = attributes.read_bytes() if attributes.is_file() else None
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text(NO_FILTERS, encoding="utf-8")
    yield
    if before is None:
        attributes.unlink()
    else:
        attributes.write_bytes(before)


def _is_left_over(entry: "os.DirEntry[str]") -> bool:
    return entry.name.startswith(_STAGING) and is_abandoned(Path(entry))


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
