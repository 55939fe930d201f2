"""Projects rendered with every combination of answers."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from pytest_copie.plugin import Copie

ROOT = Path(__file__).resolve().parents[2]

Answers = dict[str, str | bool]
Render = Callable[[Answers], Path]

RUNNERS: list[Answers] = [
    {"task_runner": "temporal"},
    {"task_runner": "celery", "celery_broker": "redis"},
    {"task_runner": "celery", "celery_broker": "rabbitmq"},
    {"task_runner": "none"},
]
LANGUAGES = ["en", "fa"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def name_of(answers: Answers) -> str:
    """Return the answers as the name of a test; of a yes, the question."""
    said = [question if answer is True else answer for question, answer in answers.items()]
    return "-".join(str(word) for word in said if word)


EVERY_COMBINATION: list[Answers] = [
    {**runner, "docs_language": language, "python_version": python, "kubernetes": False}
    for runner, language, python in product(RUNNERS, LANGUAGES, PYTHONS)
] + [
    # The manifests differ by runner and their page by language, neither by Python.
    {**runner, "docs_language": language, "python_version": "3.12", "kubernetes": True}
    for runner, language in product(RUNNERS, LANGUAGES)
]


@pytest.fixture(scope="session")
def render(copie_session: Copie) -> Render:
    """Render the working tree with some answers, once for the same answers."""
    projects: dict[frozenset[tuple[str, str | bool]], Path] = {}

    def render(answers: Answers) -> Path:
        key = frozenset(answers.items())
        if key not in projects:
            named = {"project_name": "Sample Project", **answers}
            result = copie_session.copy(extra_answers=named, template_dir=ROOT)
            if result.exception:
                raise result.exception
            assert result.project_dir is not None
            projects[key] = result.project_dir
        return projects[key]

    return render


@pytest.fixture(scope="session", params=EVERY_COMBINATION, ids=name_of)
def answers(request: pytest.FixtureRequest) -> Answers:
    answers: Answers = request.param
    return answers


@pytest.fixture(scope="session")
def project(answers: Answers, render: Render) -> Path:
    return render(answers)


def text_files(project: Path) -> dict[str, str]:
    """Return the text of every file of a project by its path."""
    return {
        path.relative_to(project).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(project.rglob("*"))
        if path.is_file() and not set(path.relative_to(project).parts) & UNCHECKED
    }


UNCHECKED = {".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
