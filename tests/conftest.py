"""Fixtures that every suite shares: the template as a release, and projects rendered from it."""

import os
import signal
from pathlib import Path

import pytest
from pytest_copie.plugin import Copie

from tests.kit import projects
from tests.kit.answers import Answers
from tests.kit.projects import Render
from tests.kit.repository import ROOT

RELEASE = "v99.0.0"


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the user's settings and identity out of the suite."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "LICH_", "COPIER_"))]:
        del os.environ[name]
    os.environ |= projects.isolated_settings(tmp_path_factory.mktemp("settings"))
    os.environ["NO_COLOR"] = "1"


@pytest.fixture(scope="session", autouse=True)
def interrupts() -> None:
    """Let processes be interrupted, even if the suite runs where a shell made it immune."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, own_settings: None) -> Path:
    """The working tree as a repository of its own, tagged as the newest release."""
    return projects.release(tmp_path_factory.mktemp("template") / "lich", RELEASE)


@pytest.fixture(scope="session")
def render(copie_session: Copie, own_settings: None) -> Render:
    """Render the working tree with some answers, once for the same answers."""
    rendered: dict[frozenset[tuple[str, str | bool]], Path] = {}

    def render(answers: Answers) -> Path:
        key = frozenset(answers.items())
        if key not in rendered:
            named = {"project_name": "Sample Project", **answers}
            result = copie_session.copy(extra_answers=named, template_dir=ROOT)
            if result.exception:
                raise result.exception
            assert result.project_dir is not None
            rendered[key] = result.project_dir
        return rendered[key]

    return render
