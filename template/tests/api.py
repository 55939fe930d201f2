"""How tests talk to the API about jobs."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

TIMEOUT = 30.0
ENDED = {"succeeded", "failed", "cancelled"}


def until(condition: Callable[[], object]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, f"not so within {TIMEOUT} s"
        time.sleep(0.02)


def wait(
    client: TestClient,
    job_id: str,
    states: set[str] = ENDED,
    until: Callable[[dict[str, Any]], bool] = lambda _job: False,
) -> dict[str, Any]:
    """Wait until a job is in one of the states, or `until` is true of it, and return it."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        job: dict[str, Any] = client.get(f"/jobs/{job_id}").raise_for_status().json()
        if job["state"] in states or until(job):
            return job
        if time.monotonic() > deadline:
            pytest.fail(f"after {TIMEOUT} s the job is still {job}", pytrace=False)
        time.sleep(0.02)


def post(client: TestClient, kind: str, body: dict[str, Any], key: str | None = None) -> str:
    """Enqueue a job, and return its id."""
    headers = {"Idempotency-Key": key} if key else {}
    answer = client.post(f"/jobs/{kind}", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def done(client: TestClient, kind: str, body: dict[str, Any], key: str | None = None) -> Any:
    """Enqueue a job, wait for its end, and return its result."""
    job = wait(client, post(client, kind, body, key))
    assert job["state"] == "succeeded", job["error"]
    return job["result"]


def listed(client: TestClient, **filters: str) -> list[str]:
    """Return the ids of the jobs on the first page of a list."""
    answer = client.get("/jobs", params=filters).raise_for_status()
    return [job["id"] for job in answer.json()["jobs"]]


def wait_until_listed(client: TestClient, job_id: str, **filters: str) -> None:
    """Wait until a job is on a list: an engine's lists may be a moment late."""
    until(lambda: job_id in listed(client, **filters))
