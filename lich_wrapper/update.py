"""Brings a project to a newer template or to other answers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lich_wrapper.answers import Questions, check_answers
from lich_wrapper.errors import LichError
from lich_wrapper.git import Git, config_environment, is_inside_repository
from lich_wrapper.render import ANSWERS_FILE, clear_errors, export
from lich_wrapper.source import Source

__all__ = ["Project", "update"]


@dataclass(frozen=True, slots=True)
class Project:
    """A project as its answers file describes it."""

    path: Path
    answers: Mapping[str, Any]

    @property
    def source(self) -> str:
        """The URL or path of the template that made the project."""
        return str(self.answers["_src_path"])

    @property
    def version(self) -> str:
        """The version of the template that made the project."""
        return str(self.answers["_commit"])

    @classmethod
    def open(cls, path: Path) -> "Project":
        """Read the answers file and refuse what cannot be updated."""
        import yaml

        path = path.resolve()
        file = path / ANSWERS_FILE
        restore = f"restore it with `git checkout HEAD -- {ANSWERS_FILE}`."
        try:
            answers = yaml.safe_load(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise LichError(
                f"{path} has no {ANSWERS_FILE}, so it is no project made by lich: give the "
                "folder of one, or " + restore
            ) from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
            raise LichError(f"{file} is damaged: {restore}") from problem
        if not isinstance(answers, dict) or not {"_commit", "_src_path"} <= answers.keys():
            raise LichError(f"{file} does not say which template made the project: {restore}")
        if not is_inside_repository(path):
            raise LichError(
                f"{path} is not in a git repository, so an update could not be undone: run "
                "`git init`, `git add .` and `git commit` there first."
            )
        return cls(path, answers)

    def require_clean(self) -> None:
        """Refuse a work tree with changes that no commit holds."""
        changed = Git(self.path)("status", "--porcelain", "--", ".").splitlines()
        if changed:
            raise LichError(
                f"{self.path} has changes that no commit holds ({changed[0][3:]}"
                f"{' and more' if len(changed) > 1 else ''}): commit or stash them first."
            )


def update(
    project: Project,
    source: Source,
    ref: str | None,
    changes: Mapping[str, Any],
    workspace: Path,
) -> str:
    """Update the project and return the version it is at."""
    version = source.version(ref)
    check_answers(changes, Questions.read(export(source, version, workspace / "template")))
    os.environ.update(config_environment(source.settings), COPIER_CACHE_DIR=str(workspace))
    import copier

    with clear_errors():
        copier.run_update(
            project.path,
            dict(changes),
            vcs_ref=version.commit,
            defaults=True,
            overwrite=True,
            quiet=True,
        )
    return version.name
