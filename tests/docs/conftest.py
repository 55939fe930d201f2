"""Guides as people get them, and somebody who follows them."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.template.conftest import (
    LANGUAGES,
    ROOT,
    RUNNERS,
    Answers,
    Render,
    name_of,
    render,  # noqa: F401 - the fixture
)

Guides = dict[str, dict[str, str]]

GUIDES = ("README.md", "docs/workers.md", "docs/kubernetes.md")


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the commands that a reader needs, and nothing else of this suite's."""
    folder = tmp_path_factory.mktemp("tools") / "bin"
    folder.mkdir()
    for name in ("lich", "uv", "uvx", "copier"):
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


def our_guides() -> Guides:
    """Return the text of the repository's own README and of each page in each language."""
    readmes = {"en": (ROOT / "README.md").read_text(), "fa": (ROOT / "README.fa.md").read_text()}
    names = {path.name for language in LANGUAGES for path in (ROOT / "docs" / language).iterdir()}
    return {"README.md": readmes} | {
        f"docs/{name}": {
            language: (ROOT / "docs" / language / name).read_text() for language in LANGUAGES
        }
        for name in sorted(names)
    }


@pytest.fixture(params=[*RUNNERS, {"ours": "ours"}], ids=name_of)
def guides(request: pytest.FixtureRequest, render: Render) -> Guides:  # noqa: F811
    """Return the guides of a project of one runner, or the repository's own."""
    return our_guides() if "ours" in request.param else guides_of(request.param, render)
