"""The answers with which the template is tried."""

from itertools import product

from tests.kit.repository import LANGUAGES, PYTHONS

Answers = dict[str, str | bool]

EVERY_RUNNER: list[Answers] = [
    {"task_runner": "temporal"},
    {"task_runner": "celery", "celery_broker": "redis"},
    {"task_runner": "celery", "celery_broker": "rabbitmq"},
    {"task_runner": "none"},
]

EVERY_COMBINATION: list[Answers] = [
    {**runner, "docs_language": language, "python_version": python, "kubernetes": False}
    for runner, language, python in product(EVERY_RUNNER, LANGUAGES, PYTHONS)
] + [
    # The manifests differ by runner and their page by language, neither by Python.
    {**runner, "docs_language": language, "python_version": "3.12", "kubernetes": True}
    for runner, language in product(EVERY_RUNNER, LANGUAGES)
]
# The workflow is the same for all, except for the Python.
EVERY_COMBINATION.append({**EVERY_COMBINATION[-1], "kubernetes": False, "update_workflow": True})


def name_of(answers: Answers) -> str:
    """Return the answers as the name of a test; of a yes, the question."""
    said = [question if answer is True else answer for question, answer in answers.items()]
    return "-".join(str(word) for word in said if word)
