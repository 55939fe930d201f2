"""Guides as a project has them, and the tools to follow them."""

from pathlib import Path

import pytest

from tests.kit.answers import EVERY_RUNNER, Answers, name_of
from tests.kit.guides import Guides, our_guides, tools_in
from tests.kit.projects import Render
from tests.kit.repository import LANGUAGES

GUIDES = (
    "README.md",
    "docs/workers.md",
    "docs/jobs.md",
    "docs/database.md",
    "docs/production.md",
    "docs/security.md",
    "docs/kubernetes.md",
)


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the commands that a reader needs, and nothing else of this suite's."""
    return tools_in(tmp_path_factory.mktemp("tools") / "bin")


def guides_of(answers: Answers, render: Render) -> Guides:
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


@pytest.fixture(params=[*EVERY_RUNNER, {"ours": "ours"}], ids=name_of)
def guides(request: pytest.FixtureRequest, render: Render) -> Guides:
    """Return the guides of a project of one runner, or the repository's own."""
    return our_guides() if "ours" in request.param else guides_of(request.param, render)
