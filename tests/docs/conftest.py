"""Guides as people get them, and somebody who follows them."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.template.conftest import (
    LANGUAGES,
    RUNNERS,
    Answers,
    Render,
    name_of,
    render,  # noqa: F401
)

Guides = dict[str, dict[str, str]]

GUIDES = ("README.md", "docs/workers.md", "docs/kubernetes.md")


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two commands that a reader needs, and nothing else of this suite's."""
    folder = tmp_path_factory.mktemp("tools") / "bin"
    folder.mkdir()
    for name in ("lich", "uv", "uvx"):
        found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
        assert found, f"{name} is in the test group"
        (folder / name).symlink_to(found)
    return folder


def guides_of(answers: Answers, render: Render) -> Guides:  # noqa: F811
    """Return the text of each guide of a project in each language."""
    projects = {
        language: render(
            {**answers, "docs_language": language, "python_version": "3.12", "kubernetes": True}
        )
        for language in LANGUAGES
    }
    return {
        guide: {language: (project / guide).read_text() for language, project in projects.items()}
        for guide in GUIDES
    }


@pytest.fixture(params=RUNNERS, ids=name_of)
def guides(request: pytest.FixtureRequest, render: Render) -> Guides:  # noqa: F811
    """Return the guides of a project of one runner."""
    return guides_of(request.param, render)
