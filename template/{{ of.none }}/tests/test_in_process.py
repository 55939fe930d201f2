"""What is true of jobs because they run inside the API."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from api.main import app
from internal.runner import pool, watchdog
from tests.api import post, until, wait
from tests.conftest import Mailbox
from tests.jobs.promises import note, notes


def test_the_end_of_the_api_waits_for_running_jobs(mailbox: Mailbox) -> None:
    with TestClient(app) as client:
        job_id = post(client, "test-slow", {})
        until(lambda: "attempt 1" in notes(job_id))

    assert notes(job_id) == ["attempt 1", "attempt 2"]
    with TestClient(app) as client:
        assert client.get(f"/jobs/{job_id}").status_code == 404


def test_the_end_of_the_api_stops_what_takes_too_long(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "DRAIN_TIMEOUT", 0.1)
    with TestClient(app) as client:
        job_id = post(client, "test-wait-async", {})
        until(lambda: "begun" in notes(job_id))

    assert notes(job_id) == ["begun", "cancelled"]


def test_a_job_that_blocks_the_event_loop_is_named(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watchdog, "LIMIT", 0.1)
    key = uuid4().hex
    job_id = f"test-blocking-{key}"
    problem = f"test-blocking ({job_id}) blocks the event loop in tests/jobs/promises.py, line"
    with ThreadPoolExecutor() as threads:
        # The API may answer only afterwards.
        threads.submit(post, client, "test-blocking", {}, key)
        until(lambda: problem in caplog.text)
        note(job_id, "noticed")
    assert wait(client, job_id)["state"] == "succeeded"


def test_only_the_newest_ended_jobs_are_remembered(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "KEPT", 2)
    ids = []
    for _ in range(5):
        ids.append(post(client, "test-add", {}))
        wait(client, ids[-1])

    codes = [client.get(f"/jobs/{job_id}").status_code for job_id in ids]
    assert codes == [404, 404, 404, 200, 200]


def test_the_log_has_a_traceback_of_unexpected_errors_only(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    post(client, "test-flaky", {"failures": 9, "permanent": True})
    until(lambda: "test-flaky failed: PermanentError: failure 1" in caplog.text)
    assert "Traceback" not in caplog.text
    post(client, "test-flaky", {"failures": 9})
    until(lambda: "test-flaky failed: OSError: failure 3" in caplog.text)
    assert "Traceback" in caplog.text
