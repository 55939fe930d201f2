"""Fixtures that every suite shares: the template as a release, and projects rendered from it."""

import hashlib
import json
import os
import shutil
import signal
from functools import partial
from pathlib import Path

import pytest
from pytest_copie.plugin import Copie

from tests.kit import projects
from tests.kit.answers import Answers
from tests.kit.once import made_once, shared_folder
from tests.kit.projects import Render
from tests.kit.repository import ROOT

RELEASE = "v99.0.0"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow files, so that no worker is left with one when the others have ended."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the user's settings and identity out of the suite."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "LICH_", "COPIER_"))]:
        del os.environ[name]
    os.environ |= projects.isolated_settings(tmp_path_factory.mktemp("settings"))
    os.environ["NO_COLOR"] = "1"


@pytest.fixture(scope="session", autouse=True)
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Share one mypy cache, for all generated projects have the same dependencies."""
    os.environ["MYPY_CACHE_DIR"] = str(tmp_path_factory.getbasetemp() / "mypy")


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
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The temporary folder that all workers of this run share."""
    return shared_folder(tmp_path_factory)


@pytest.fixture(scope="session")
def render(
    copie_session: Copie, own_settings: None, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Render:
    """Return a function that renders the working tree, once for each set of answers.

    All tests of a worker share the project; the workers do not, for its tests leave files in it.
    """
    own = tmp_path_factory.mktemp("rendered")

    def make(folder: Path, answers: Answers) -> None:
        result = copie_session.copy(extra_answers=answers, template_dir=ROOT)
        if result.exception:
            raise result.exception
        assert result.project_dir is not None
        shutil.move(result.project_dir, folder)

    def render(answers: Answers) -> Path:
        named: Answers = {"project_name": "Sample Project", **answers}
        name = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:16]
        if not (own / name).exists():
            rendered = made_once(shared / "rendered" / name, partial(make, answers=named))
            shutil.copytree(rendered, own / name)
        return own / name

    return render
