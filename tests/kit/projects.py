"""Generated projects, and the template as a release."""

import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import copier
import copier.errors

from tests.kit.answers import Answers
from tests.kit.processes import run, user_environment
from tests.kit.repository import BIN, IN_PROJECT, ROOT
from tests.kit.trees import git

__all__ = ["Render", "isolated_settings", "look_up", "migrate", "release", "render"]

Render = Callable[[Answers], Path]
"""Renders the working tree with some answers, once for the same answers."""


def render(folder: Path, answers: Answers, template: Path = ROOT) -> Path:
    """Make a project of the newest commit, and of what is not committed yet."""
    named = {"project_name": "Sample Project", **answers}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", copier.errors.DirtyLocalWarning)
        copier.run_copy(str(template), folder, named, vcs_ref="HEAD", defaults=True, quiet=True)
    return folder


def migrate(project: Path, **environment: str) -> None:
    """Bring a project's database up to date, as its development stack does first."""
    variables = user_environment() | environment
    run(BIN / "alembic", "upgrade", "heads", cwd=project, environment=variables)


def release(folder: Path, tag: str) -> Path:
    """Make a repository of the working tree, with what is not committed yet, as a release."""
    git(ROOT, "clone", "--quiet", "--no-checkout", str(ROOT), str(folder))
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if os.path.lexists(ROOT / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--no-verify", "-m", "Release")
    git(folder, "tag", tag)
    return folder


def isolated_settings(folder: Path) -> dict[str, str]:
    """Return variables that keep git and Copier from the user's own settings."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gitconfig").write_text(
        "[user]\n\tname = Test\n\temail = test@example.com\n[init]\n\tdefaultBranch = main\n"
    )
    (folder / "copier.yml").write_text("{}\n")
    return {
        "COPIER_CACHE_DIR": str(folder / "copier"),
        "COPIER_SETTINGS_PATH": str(folder / "copier.yml"),
        "GIT_CONFIG_GLOBAL": str(folder / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
    }


def look_up(project: Path, *names: str) -> dict[str, object]:
    """Return values of a project's modules by names like `internal.jobs:ATTEMPTS`.

    Times are seconds.
    """
    environment = user_environment() | {"PYTHONPATH": str(project)}
    program = (sys.executable, IN_PROJECT / "look_up.py")
    found = run(*program, *names, cwd=project, environment=environment)
    values: dict[str, object] = json.loads(found)
    return values
