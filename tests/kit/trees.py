"""Trees of files and git repositories, built and read."""

import os
import stat
import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path

from tests.kit.processes import run

__all__ = ["Tree", "git", "snapshot"]

Content = str | bytes | None


def git(directory: Path, *arguments: str) -> str:
    """Return what git prints in a directory."""
    return run("git", *arguments, cwd=directory).rstrip("\n")


class Tree:
    """A git repository in a folder that a test fills: a template or a project."""

    def __init__(self, path: Path, *, init: bool = True) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        if init:
            self.git("init", "--quiet")

    def git(self, *arguments: str) -> str:
        return git(self.path, *arguments)

    def bytes(self, *arguments: str) -> bytes:
        return subprocess.run(
            ["git", *arguments], cwd=self.path, capture_output=True, check=True
        ).stdout

    def write(self, files: Mapping[str, Content]) -> None:
        """Write files; None removes one; the indentation of a text is the test's, not its own."""
        for name, content in files.items():
            path = self.path / name
            if content is None:
                path.unlink()
                continue
            if path.is_symlink():
                path.unlink()
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                content = textwrap.dedent(content).encode()
            path.write_bytes(content)

    def read(self, name: str) -> str:
        return (self.path / name).read_bytes().decode()

    def state(self) -> tuple[object, ...]:
        """Return all that an update may change: files, the index, its flags, the last commit."""
        return (
            snapshot(self.path),
            self.git("ls-files", "--stage", "-v"),
            self.git("rev-parse", "HEAD"),
            self.git("status", "--porcelain", "--ignored", "--untracked-files=all"),
        )

    def commit(self, tag: str | None = None) -> str:
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--no-verify", "-m", tag or "Change")
        if tag:
            self.git("tag", tag)
        return self.git("rev-parse", "HEAD")


def snapshot(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Return every file below a folder with its kind and content, git's own files left out."""
    found: dict[str, tuple[str, bytes]] = {}
    for parent, folders, files in os.walk(folder):
        if parent == str(folder) and ".git" in folders:
            folders.remove(".git")
        prefix = "" if parent == str(folder) else f"{os.path.relpath(parent, folder)}/"
        # A link to a folder is among the folders, and is not followed.
        for name in [*folders, *files]:
            path = f"{parent}/{name}"
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                found[prefix + name] = ("link", str(Path(path).readlink()).encode())
            elif stat.S_ISREG(mode) and prefix + name != ".git":
                content = Path(path).read_bytes()
                found[prefix + name] = ("run" if mode & 0o100 else "file", content)
    return dict(sorted(found.items()))
