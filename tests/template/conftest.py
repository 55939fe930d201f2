"""Projects in which any three answers meet."""

from pathlib import Path

import pytest

from tests.kit.answers import EVERY_THREE, Answers, name_of
from tests.kit.projects import Render


@pytest.fixture(scope="session", params=EVERY_THREE, ids=name_of)
def answers(request: pytest.FixtureRequest) -> Answers:
    answers: Answers = request.param
    return answers


@pytest.fixture(scope="session")
def project(answers: Answers, render: Render) -> Path:
    return render(answers)
