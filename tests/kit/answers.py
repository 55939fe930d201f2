"""The answers with which the template is tried, so few that a new question adds hardly any.

All answers to all questions together would double with each yes or no. A mistake, though, is one
of a few answers that meet in a condition or in the path of a folder, hardly ever of all of them.
So two sets stand for all combinations: `EVERY_THREE`, in which any three answers meet in some
project, for what only renders and reads; and `EVERY_TWO`, in which any two meet, for what takes
seconds a project. A new question is one more line of `QUESTIONS`.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, product

from tests.kit.repository import DATABASES, LANGUAGES, PYTHONS

Answers = dict[str, str | bool]

EVERY_RUNNER: list[Answers] = [
    {"task_runner": "temporal"},
    {"task_runner": "celery", "celery_broker": "redis"},
    {"task_runner": "celery", "celery_broker": "rabbitmq"},
    {"task_runner": "none"},
]

EVERY_ENGINE = [
    answers | ({"database": "postgresql"} if "rabbitmq" in answers.values() else {})
    for answers in EVERY_RUNNER
]
"""As `EVERY_RUNNER`, with PostgreSQL beside RabbitMQ and Redis, and SQLite elsewhere."""

QUESTIONS: dict[str, Sequence[str | bool]] = {
    "docs_language": LANGUAGES,
    "python_version": PYTHONS,
    "database": DATABASES,
    "kubernetes": (False, True),
    "update_workflow": (False, True),
}
"""What is asked beside the runner and its broker, and what can be answered."""


def covering(number: int, questions: Mapping[str, Sequence[str | bool]]) -> list[Answers]:
    """Return few answers of which any `number` meet in one project (a covering array).

    The runner with its broker counts as one of them. Each project is the one, of all that there
    could be, that adds the most; so the answers are the same at every call.
    """
    projects = list(product(range(len(EVERY_RUNNER)), product(*questions.values())))
    meetings = [
        set(combinations(enumerate((runner, *answers)), number)) for runner, answers in projects
    ]
    missing = set().union(*meetings)
    chosen: list[Answers] = []
    while missing:
        best = max(range(len(projects)), key=lambda index: len(meetings[index] & missing))
        missing -= meetings[best]
        runner, answers = projects[best]
        chosen.append(EVERY_RUNNER[runner] | dict(zip(questions, answers, strict=True)))
    return chosen


EVERY_THREE = covering(3, QUESTIONS)
EVERY_TWO = covering(2, QUESTIONS)

# For mypy a Python between the oldest and the newest is like one of the two.
EVERY_TWO_TO_TYPE_CHECK = covering(2, QUESTIONS | {"python_version": (PYTHONS[0], PYTHONS[-1])})


def name_of(answers: Answers) -> str:
    """Return the answers as the name of a test; of a yes, the question."""
    said = [question if answer is True else answer for question, answer in answers.items()]
    return "-".join(str(word) for word in said if word)
