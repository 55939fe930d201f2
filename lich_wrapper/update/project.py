"""Reads an existing project: its place in a repository, its state, its recorded answers."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lich_wrapper.errors import LichError
from lich_wrapper.git import Git, refusal
from lich_wrapper.template.answers import ANSWERS_FILE, parse_yaml, public, was_edited

__all__ = ["Project", "Recorded"]

# Line ends, filters and ignored files in the user's work tree are as the user's own settings
# made them, so there these settings are the user's.
_USER_SETTINGS: Final = (
    "core.attributesFile",
    "core.autocrlf",
    "core.eol",
    "core.excludesFile",
)

# Seconds: a file is replaced in far less.
_REPLACED_WITHIN: Final = 0.1

_UNFINISHED: Final = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """The content of an answers file."""

    text: str
    # What Copier records of itself is in it too.
    content: Mapping[str, Any]

    @property
    def answers(self) -> dict[str, Any]:
        """The answers by the questions' names."""
        return public(self.content)

    @property
    def source(self) -> str:
        """The URL or path of the template that made the project."""
        return str(self.content["_src_path"])

    @property
    def version(self) -> str:
        """The version of the template that made the project."""
        return str(self.content["_commit"])

    @classmethod
    def read(cls, path: Path) -> "Recorded":
        """Read the answers file of the project in a folder.

        Raises LichError if there is none, or none that Copier wrote.
        """
        file = path / ANSWERS_FILE
        try:
            if not file.exists():
                # Another update, which replaces it at this moment, has moved it aside.
                time.sleep(_REPLACED_WITHIN)
            return cls.parse(file.read_text(encoding="utf-8"), file)
        except (FileNotFoundError, NotADirectoryError):
            raise LichError(
                f"{path} holds no {ANSWERS_FILE}, so lich did not make it: give the folder of a "
                f"project, or bring the file back with `git checkout HEAD -- {ANSWERS_FILE}`."
            ) from None
        except UnicodeDecodeError as problem:
            raise _damaged(file) from problem
        except OSError as problem:
            raise LichError(f"{file} cannot be read: {problem.strerror}.") from problem

    @classmethod
    def parse(cls, text: str, file: Path) -> "Recorded":
        """Read the text of an answers file; raises LichError if Copier did not write it."""
        import yaml

        try:
            content = parse_yaml(text)
        except yaml.YAMLError as problem:
            raise _damaged(file) from problem
        if not isinstance(content, dict) or not {"_commit", "_src_path"} <= content.keys():
            raise _damaged(file)
        if was_edited(text, content):
            raise LichError(
                f"{file} was edited by hand, so it no longer tells how the project was made: "
                f"bring it back with `git log -p -- {ANSWERS_FILE}` and change answers with "
                "`lich update -d KEY=VALUE`."
            )
        return cls(text, content)


@dataclass(frozen=True, slots=True)
class Project:
    """A project in a git repository, on its own or as a part of it."""

    path: Path
    top: Path
    # The project's folder in the repository: empty, or with a slash at its end.
    prefix: str
    git_dir: Path
    objects: Path
    object_format: str
    head: str
    # The tree of the project in the last commit; empty if the commit holds none of it.
    tree: str

    @property
    def git(self) -> Git:
        """Git in the project, with the user's way of writing files."""
        return self.git_with()

    @property
    def name(self) -> str:
        """The name of the project's folder, from which a template may take a default."""
        return self.path.name or "project"

    @property
    def journal(self) -> Path:
        """The folder, in the git directory, of an update that is under way or was interrupted."""
        return self.git_dir / "lich-update"

    def git_with(self, **variables: str) -> Git:
        """Git in the project, with environment variables of its own."""
        # A mere look at the project must not write its index.
        quiet = {"GIT_OPTIONAL_LOCKS": "0", **variables}
        return Git(self.path, variables=quiet, user_settings=_USER_SETTINGS)

    @classmethod
    def open(cls, path: Path) -> "Project":
        """Find the repository around a project; raises LichError if it has none or no commit."""
        path = path.resolve()
        asked = Git(path).run(
            "rev-parse",
            *("--show-toplevel", "--show-prefix", "--absolute-git-dir"),
            *("--git-path", "objects", "--show-object-format", "HEAD", "HEAD:./"),
            ok=(0, 128),
        )
        said = asked.stdout.decode(errors="surrogateescape").splitlines()
        if len(said) < 5:
            if (problem := refusal(path, asked.stderr)) is not None:
                raise LichError(problem)
            raise LichError(
                f"{path} is not in a git repository, so an update could not be undone: run "
                "`git init`, `git add --all` and `git commit` there first."
            )
        top, prefix, git_dir, objects, object_format, head, *tree = said
        # What git cannot resolve it prints as it was given.
        if head == "HEAD":
            raise LichError(
                f"{path} has no commit yet: run `git add --all` and `git commit` there."
            )
        return cls(
            path=path,
            top=Path(top),
            prefix=prefix,
            git_dir=Path(git_dir),
            objects=(path / objects).resolve(),
            object_format=object_format,
            head=head,
            tree="" if asked.returncode else tree[0],
        )

    def require_clean(self) -> None:
        """Refuse a repository in the middle of a merge or the like, or with uncommitted changes."""
        for name, action in _UNFINISHED.items():
            if (self.git_dir / name).exists():
                raise LichError(
                    f"A {action} is under way in {self.top}: finish it with `git {action} "
                    f"--continue` or end it with `git {action} --abort` first."
                )
        if (self.git_dir / "index.lock").exists():
            raise LichError(
                f"Another git process works in {self.top}: wait for it, or remove "
                f"{self.git_dir / 'index.lock'} if there is none."
            )
        state = self.git("status", "--porcelain", "-z", "--", ".")
        changed = [entry[3:] for entry in state.split("\0") if len(entry) > 3]
        if changed:
            raise LichError(
                f"{self.path} has changes that no commit holds ({changed[0]}"
                f"{f' and {len(changed) - 1} more' if len(changed) > 1 else ''}): commit or "
                "stash them first."
            )

    def recorded(self) -> Recorded:
        """Return the answers as the last commit holds them."""
        where = f"{self.head}:{self.prefix}{ANSWERS_FILE}"
        blob = self.git.run("cat-file", "blob", where, ok=(0, 128))
        if blob.returncode:
            raise LichError(
                f"{ANSWERS_FILE} is in no commit of {self.path}: run `git add --force "
                f"{ANSWERS_FILE}` and `git commit` there."
            )
        text = blob.stdout.decode(errors="replace").replace("\r\n", "\n")
        return Recorded.parse(text, self.path / ANSWERS_FILE)

    def hidden(self) -> set[str]:
        """Return the files that are flagged assume-unchanged or skip-worktree."""
        listed = self.git("ls-files", "-v", "-z", "--", ".").split("\0")
        return {entry[2:] for entry in listed if entry[:1].islower() or entry[:1] == "S"}


def _damaged(file: Path) -> LichError:
    return LichError(
        f"{file} is damaged: bring it back with `git checkout HEAD -- {ANSWERS_FILE}`, or from "
        "an older commit."
    )
