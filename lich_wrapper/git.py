"""Runs git so that neither environment variables nor personal settings change a result."""

import os
import re
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lich_wrapper.errors import LichError

__all__ = ["IDENTITY", "NO_FILTERS", "USER", "Git", "configured", "identity", "refusal"]

# Settings of a user or a repository that would change what git writes, merges or reports.
# The files with a user's settings stay readable: they hold proxies, credentials and
# safe.directory, without which git would refuse to work at all.
_NEUTRAL: Final = {
    "advice.detachedHead": "false",
    "color.ui": "false",
    "commit.gpgSign": "false",
    "core.attributesFile": os.devnull,
    "core.autocrlf": "false",
    "core.eol": "lf",
    "core.excludesFile": os.devnull,
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.ignoreStat": "false",
    # What a template renders on one system is checked out on others.
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "core.quotePath": "false",
    "core.safecrlf": "false",
    "core.splitIndex": "false",
    "core.untrackedCache": "false",
    "diff.external": "",
    "diff.noprefix": "false",
    "diff.mnemonicPrefix": "false",
    "diff.renames": "true",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "status.showUntrackedFiles": "all",
    "submodule.recurse": "false",
    "tag.gpgSign": "false",
}

# Of the variables that git reads, only those that say how to reach a server or where a
# user's settings are: a hook exports GIT_DIR, and the rest changes results too.
_KEPT: Final = (
    "GIT_ALLOW_PROTOCOL",
    "GIT_ASKPASS",
    "GIT_CEILING_DIRECTORIES",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
    "GIT_EXEC_PATH",
    "GIT_HTTP_",
    "GIT_PROXY_",
    "GIT_SSH",
    "GIT_SSL_",
)


# The author of commits that are made for a computation, or for a user whom git does not know.
IDENTITY: Final = {
    "GIT_AUTHOR_NAME": "lich",
    "GIT_AUTHOR_EMAIL": "lich@localhost",
    "GIT_COMMITTER_NAME": "lich",
    "GIT_COMMITTER_EMAIL": "lich@localhost",
}


# The settings that name a user.
USER: Final = frozenset({"user.name", "user.email"})

# As `info/attributes` of a repository: .gitattributes that a template has rendered must not choose
# which of the user's commands run.
NO_FILTERS: Final = "* -filter\n"


@dataclass(frozen=True, slots=True)
class Git:
    """Git in one directory.

    `settings` and `variables` are configuration and environment of its own; `user_settings`
    names those of the neutral settings that are left to the user's configuration.
    """

    directory: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    user_settings: tuple[str, ...] = ()

    def run(
        self, *arguments: str, stdin: bytes = b"", ok: tuple[int, ...] | None = (0,)
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command and return its exit code and output.

        Raises LichError, with the last line of what git said, for an exit code that is not in
        `ok`; None allows every one.
        """
        try:
            done = subprocess.run(  # noqa: S603
                ["git", *arguments],  # noqa: S607
                cwd=self.directory,
                env=self._environment(),
                input=stdin,
                capture_output=True,
                check=False,
            )
        except FileNotFoundError:
            raise LichError(
                f"git was not found on the PATH, or {self.directory} is gone: install git 2.38 "
                "or newer."
            ) from None
        if ok is not None and done.returncode not in ok:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise LichError(f"git {arguments[0]} failed: {said[-1] if said else done.returncode}")
        return done

    def __call__(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run one command, which must exit with 0; return its output without the last newline."""
        output = self.run(*arguments, stdin=stdin).stdout
        return output.decode(errors="surrogateescape").rstrip("\n")

    def succeeds(self, *arguments: str) -> bool:
        """Tell whether the command exits with 0."""
        return self.run(*arguments, ok=None).returncode == 0

    def commit_id(self, revision: str) -> str | None:
        """Return the full id of the commit that a revision names, or None if it names none."""
        asked = ("--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        done = self.run("rev-parse", *asked, ok=None)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def _environment(self) -> dict[str, str]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("GIT_") or name.startswith(_KEPT)
        }
        neutral = {key: value for key, value in _NEUTRAL.items() if key not in self.user_settings}
        # What the user sets by variables, such as safe.directory, is as good as a file of theirs.
        settings = [*_inherited_settings(), *neutral.items(), *self.settings.items()]
        environment["GIT_CONFIG_COUNT"] = str(len(settings))
        for number, (key, value) in enumerate(settings):
            environment[f"GIT_CONFIG_KEY_{number}"] = key
            environment[f"GIT_CONFIG_VALUE_{number}"] = value
        return {
            **environment,
            "LC_ALL": "C",
            # Without it `git status` writes what it has found out into the index.
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            **self.variables,
        }


def configured(git: Git, *keys: str) -> set[str]:
    """Tell which of some settings, in lower case, have a value."""
    pattern = f"^({'|'.join(map(re.escape, keys))})$"
    found = git.run("config", "--name-only", "--get-regexp", pattern, ok=(0, 1)).stdout
    return set(found.decode(errors="replace").splitlines())


def identity(settings: Collection[str]) -> dict[str, str]:
    """Return the variables of an author for commits: those that are set, or lich if git knows none.

    `settings` are those that are configured.
    """
    variables = {name: value for name in IDENTITY if (value := os.environ.get(name))}
    if set(settings) >= USER or variables.keys() == IDENTITY.keys():
        return variables
    return {**IDENTITY, **variables}


def refusal(folder: Path, said: bytes) -> str | None:
    """Say why git refuses to work in a folder, or None if there just is no repository.

    `said` is what it wrote to stderr.
    """
    text = said.decode(errors="replace").strip()
    first = text.partition("\n")[0]
    if not text or "not a git repository" in first:
        return None
    if "dubious ownership" in first:
        place = first.partition("'")[2].rpartition("'")[0] or folder
        return (
            f"The repository {place} belongs to another user: if you trust what is in it, run `git "
            f"config --global --add safe.directory {place}`."
        )
    if "must be run in a work tree" in first:
        return f"{folder} is a bare repository, without files to work on: give a clone of it."
    return f"git does not work in {folder}: {first.removeprefix('fatal: ')}."


def _inherited_settings() -> list[tuple[str, str]]:
    count = os.environ.get("GIT_CONFIG_COUNT", "")
    return [
        (key, os.environ.get(f"GIT_CONFIG_VALUE_{number}", ""))
        for number in range(int(count) if count.isdecimal() else 0)
        if (key := os.environ.get(f"GIT_CONFIG_KEY_{number}"))
    ]
