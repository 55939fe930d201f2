"""An engine for the tests that need one, and a project of each runner."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import engine as engines
from tests.containers.engine import Engine
from tests.kit.answers import EVERY_ENGINE, Answers, name_of
from tests.kit.projects import Render


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine of this machine or a private one; where none can be had, the tests skip."""
    context = engines.engine()
    try:
        running = context.__enter__()
    except engines.Unavailable as reason:
        engines.skip(reason)
    yield running
    context.__exit__(None, None, None)


@pytest.fixture(params=EVERY_ENGINE, ids=name_of)
def answers(request: pytest.FixtureRequest) -> Answers:
    return {**request.param, "docs_language": "en", "python_version": "3.12", "kubernetes": True}


@pytest.fixture
def project(answers: Answers, render: Render) -> Path:
    return render(answers)
