"""What holds for every job of `internal/jobs`, by its examples; nothing here names one."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from internal.runner import Definition, Workflow
from internal.runner.registry import registry
from tests.api import post, wait
from tests.runner import replay

JOBS = {
    kind: definition
    for kind, definition in registry().kinds.items()
    if definition.__module__.startswith("internal.jobs.")
}


def example(definition: type[Definition]) -> dict[str, Any]:
    """Return the first example of each field; one that has none keeps its default."""
    body = {}
    for name, field in definition.model_fields.items():
        if field.examples:
            body[name] = field.examples[0]
        elif field.is_required():
            pytest.fail(
                f"{definition.__name__}.{name} has no example: write Field(examples=[...]), which"
                " the API's documentation shows as well.",
                pytrace=False,
            )
    return body


def test_every_file_is_a_job() -> None:
    assert registry().problems == ()


@pytest.mark.parametrize("kind", JOBS)
def test_a_job_does_its_example(client: TestClient, kind: str) -> None:
    job_id = post(client, kind, example(JOBS[kind]))
    # A job that fails and waits for its next attempt is not waited for.
    job = wait(client, job_id, until=lambda job: job["error"] is not None)
    if job["state"] != "succeeded":
        pytest.fail(f"{JOBS[kind].__name__}: {job['error']}", pytrace=False)


@pytest.mark.parametrize("kind", JOBS)
def test_a_job_refuses_an_unknown_field(client: TestClient, kind: str) -> None:
    answer = client.post(f"/jobs/{kind}", json={**example(JOBS[kind]), "no_such_field": 1})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "kind", [kind for kind, definition in JOBS.items() if issubclass(definition, Workflow)]
)
def test_a_workflow_takes_the_same_steps_when_it_is_run_again(
    client: TestClient, kind: str
) -> None:
    job_id = post(client, kind, example(JOBS[kind]))
    wait(client, job_id)
    if problem := replay(job_id):
        pytest.fail(problem, pytrace=False)
