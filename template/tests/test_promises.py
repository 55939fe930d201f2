"""What is promised of every job, by the same tests whichever task runner does it."""

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from tests.api import done, listed, post, until, wait, wait_until_listed
from tests.jobs.promises import Late, notes


def test_a_result_that_is_a_model_is_json(client: TestClient) -> None:
    assert done(client, "test-add", {"numbers": [1, 2, 3]}) == {"total": 6}


def test_a_job_whose_fields_have_defaults_needs_no_body(client: TestClient) -> None:
    job = client.post("/jobs/test-add")
    assert job.status_code == 202
    assert wait(client, job.json()["id"])["result"] == {"total": 3}


def test_progress_stays_after_the_end(client: TestClient) -> None:
    succeeded = wait(client, post(client, "test-add", {"numbers": [1, 2, 3]}))
    assert succeeded["progress"] == {"done": 3, "total": 3}
    failed = wait(client, post(client, "test-flaky", {"failures": 9}))
    assert failed["progress"] == {"done": 3, "total": 9}


def test_an_unexpected_error_is_retried_by_the_policy(client: TestClient) -> None:
    job_id = post(client, "test-flaky", {"failures": 2})
    job = wait(client, job_id)
    assert (job["state"], job["result"], job["error"]) == ("succeeded", 3, None)
    assert notes(job_id) == ["attempt 1", "attempt 2", "attempt 3"]


def test_the_last_error_is_kept(client: TestClient) -> None:
    job_id = post(client, "test-flaky", {"failures": 9})
    job = wait(client, job_id)
    assert (job["state"], job["error"]) == ("failed", "OSError: failure 3")
    assert len(notes(job_id)) == 3


@pytest.mark.parametrize("kind", ["test-away", "test-away-step"])
def test_an_attempt_that_needs_what_is_away_does_not_count(client: TestClient, kind: str) -> None:
    job_id = post(client, kind, {})
    job = wait(client, job_id)
    assert (job["state"], job["result"], job["error"]) == ("succeeded", 1, None)
    assert notes(job_id) == ["attempt 1"] * 4


def test_a_permanent_error_is_not_retried(client: TestClient) -> None:
    job_id = post(client, "test-flaky", {"permanent": True})
    job = wait(client, job_id)
    assert (job["state"], job["error"]) == ("failed", "PermanentError: failure 1")
    assert notes(job_id) == ["attempt 1"]


def test_a_result_that_is_not_json_fails_with_the_reason(client: TestClient) -> None:
    job_id = post(client, "test-no-json", {})
    job = wait(client, job_id)
    assert job["state"] == "failed"
    assert "The result of NoJson is a object, which cannot be written as JSON" in job["error"]
    assert notes(job_id) == ["attempt 1"]


def test_an_attempt_ends_at_its_timeout(client: TestClient) -> None:
    job_id = post(client, "test-slow", {})
    job = wait(client, job_id)
    assert (job["state"], job["error"]) == ("failed", "TimeoutError: not done within 0.1 seconds")
    assert notes(job_id) == ["attempt 1", "attempt 2"]


def test_a_job_ends_at_its_deadline_counted_from_when_it_may_begin(client: TestClient) -> None:
    # A worker that still starts could miss the deadline.
    done(client, "test-add", {})
    later = datetime.now(UTC) + timedelta(seconds=0.2)
    delayed = client.post("/jobs/test-late", params={"at": later.isoformat()}).json()["id"]
    for job_id in (post(client, "test-late", {}), delayed):
        job = wait(client, job_id)
        error = "DeadlineExceeded: not done by the deadline of its policy"
        assert (job["state"], job["error"]) == ("failed", error)
        assert "attempt 1" in notes(job_id)
    assert Late.policy.deadline
    assert datetime.now(UTC) >= later + Late.policy.deadline


@pytest.mark.parametrize("kind", ["test-wait", "test-wait-async"])
def test_a_running_job_is_cancelled_within_a_second(client: TestClient, kind: str) -> None:
    job_id = post(client, kind, {})
    until(lambda: "begun" in notes(job_id))
    asked = time.monotonic()
    assert client.post(f"/jobs/{job_id}/cancel").status_code == 202
    job = wait(client, job_id)
    # One second, and what a busy machine adds.
    assert time.monotonic() - asked < 3
    assert job["state"] == "cancelled"
    assert job["progress"] is not None
    if kind == "test-wait-async":
        assert notes(job_id) == ["begun", "cancelled"]


def test_a_job_enqueues_others_once_however_often_it_is_tried(client: TestClient) -> None:
    first, second = done(client, "test-parent", {})
    assert first != second
    assert wait(client, first)["result"] == {"total": 1}
    assert wait(client, second)["result"] == {"total": 2}


def test_a_workflow_does_each_step_once_and_goes_on_after_its_errors(client: TestClient) -> None:
    job_id = post(client, "test-steps", {"fail_once": False})
    job = wait(client, job_id)
    assert job["error"] is None
    assert job["result"]["refused"] == "PermanentError: no"
    assert job["result"]["failed"] == "OSError: never"
    assert len(set(job["result"]["steps"])) == 3
    first, *side_by_side, refuse, fail, again, last = notes(job_id)
    assert (first, set(side_by_side)) == ("first", {"left", "right"})
    assert (refuse, fail, again, last) == ("refuse", "fail", "fail", "fail")


def test_a_step_that_failed_is_retried_alone(client: TestClient) -> None:
    job_id = post(client, "test-steps", {"fail_once": True})
    assert wait(client, job_id)["state"] == "succeeded"
    assert sorted(notes(job_id)[:5]) == ["first", "first", "left", "left", "right"]


def test_a_clock_in_a_workflow_is_found_with_its_line(client: TestClient) -> None:
    job = wait(client, post(client, "test-clock", {}))
    assert job["state"] == "failed"
    assert "tests/jobs/promises.py, line " in job["error"]
    assert "time.time() gives another result" in job["error"]
    assert "use ctx.now()" in job["error"]


def test_a_job_waits_for_its_time(client: TestClient) -> None:
    at = datetime.now(UTC) + timedelta(seconds=0.2)
    accepted = client.post("/jobs/test-add", params={"at": at.isoformat()}, json={}).json()
    assert wait(client, accepted["id"])["state"] == "succeeded"
    assert datetime.now(UTC) >= at


def test_a_job_may_wait_for_a_year_and_be_cancelled(client: TestClient) -> None:
    at = datetime.now(UTC) + timedelta(days=365)
    accepted = client.post("/jobs/test-add", params={"at": at.isoformat()}, json={}).json()
    assert client.get(f"/jobs/{accepted['id']}").json()["state"] == "queued"
    assert client.post(f"/jobs/{accepted['id']}/cancel").status_code == 202
    assert wait(client, accepted["id"])["state"] == "cancelled"


def test_the_same_key_and_input_give_the_first_job(client: TestClient) -> None:
    key = uuid4().hex
    job_id = post(client, "test-add", {"numbers": [1]}, key)
    wait(client, job_id)
    assert post(client, "test-add", {"numbers": [1]}, key) == job_id


def test_the_same_key_with_another_input_is_refused(client: TestClient) -> None:
    key = uuid4().hex
    wait(client, post(client, "test-add", {"numbers": [1]}, key))
    headers = {"Idempotency-Key": key}
    answer = client.post("/jobs/test-add", json={"numbers": [2]}, headers=headers)
    assert answer.status_code == 422
    assert "was enqueued with another input" in answer.json()["detail"]


def test_many_jobs_are_enqueued_by_one_request_and_once_for_its_key(client: TestClient) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    body = [{"numbers": [number]} for number in range(10)]
    first = client.post("/jobs/test-add/batch", json=body, headers=headers)
    assert first.status_code == 202
    ids = [job["id"] for job in first.json()]
    assert len(set(ids)) == 10
    results = [wait(client, job_id)["result"] for job_id in ids]
    assert results == [{"total": number} for number in range(10)]

    again = client.post("/jobs/test-add/batch", json=body, headers=headers)
    assert [job["id"] for job in again.json()] == ids
    other = client.post("/jobs/test-add/batch", json=body[::-1], headers=headers)
    assert other.status_code == 422


def test_a_batch_with_a_wrong_element_enqueues_nothing(client: TestClient) -> None:
    body = [{"numbers": [1]}, {"numbers": "none"}]
    answer = client.post("/jobs/test-add/batch", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][1] == 1


def test_a_bad_key_is_refused(client: TestClient) -> None:
    answer = client.post("/jobs/test-add", json={}, headers={"Idempotency-Key": "not a key"})
    assert answer.status_code == 422


def test_jobs_are_listed_by_state_and_kind_in_pages(client: TestClient) -> None:
    ids: list[str] = []
    for _ in range(3):
        # One after the other: an engine may list ended jobs by their end.
        ids.append(job_id := post(client, "test-add", {}))
        wait(client, job_id)
        wait_until_listed(client, job_id, kind="test-add", state="succeeded", limit="500")
    found: list[str] = []
    cursor = None
    while len(found) < 3:
        params = {"kind": "test-add", "state": "succeeded", "limit": "2"}
        params |= {"cursor": cursor} if cursor else {}
        page = client.get("/jobs", params=params).raise_for_status().json()
        assert len(page["jobs"]) == 2
        found += [job["id"] for job in page["jobs"]]
        cursor = page["cursor"]
    assert found[:3] == ids[::-1]
    assert not set(ids) & set(listed(client, kind="test-flaky"))


def test_a_failed_job_is_retried_on_request(client: TestClient) -> None:
    job_id = post(client, "test-flaky", {"permanent": True})
    wait(client, job_id)
    wait_until_listed(client, job_id, state="failed")
    assert client.post(f"/jobs/{job_id}/retry").status_code == 202
    assert wait(client, job_id)["state"] == "failed"
    assert notes(job_id) == ["attempt 1", "attempt 1"]


def test_a_workflow_that_is_retried_on_request_keeps_the_steps_that_are_done(
    client: TestClient,
) -> None:
    job_id = post(client, "test-resumed", {})
    job = wait(client, job_id)
    assert (job["state"], job["error"]) == ("failed", "PermanentError: not yet")
    assert client.post(f"/jobs/{job_id}/retry").status_code == 202
    assert wait(client, job_id)["state"] == "succeeded"
    assert notes(job_id) == ["first", "last", "last"]


def test_an_ended_job_is_neither_cancelled_nor_retried(client: TestClient) -> None:
    job_id = post(client, "test-add", {})
    wait(client, job_id)
    for action in ("cancel", "retry"):
        answer = client.post(f"/jobs/{job_id}/{action}")
        assert answer.status_code == 409
        assert "is succeeded" in answer.json()["detail"]


def test_an_unknown_job_is_not_found(client: TestClient) -> None:
    for job_id in ("email-nobody", "%00", "x" * 3_000, "%F0%9F%92%A5", "*"):
        assert client.get(f"/jobs/{job_id}").status_code == 404
        assert client.post(f"/jobs/{job_id}/cancel").status_code == 404
        assert client.post(f"/jobs/{job_id}/retry").status_code == 404


def test_the_api_is_healthy(client: TestClient) -> None:
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200
