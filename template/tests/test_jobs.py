"""What the API promises of a job, whichever task runner does it."""

import csv
import sqlite3
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from internal.config import get_settings
from tests.conftest import Mailbox

TIMEOUT = 30.0
ENDED = {"succeeded", "failed", "cancelled"}
ENDLESS = 50_000
"""Rows of an import that is stopped long before it has done them all."""


def wait(client: TestClient, job_id: str, states: set[str] = ENDED) -> dict[str, Any]:
    """Wait until a job is in one of the states, and return it."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        job: dict[str, Any] = client.get(f"/jobs/{job_id}").raise_for_status().json()
        if job["state"] in states:
            return job
        assert time.monotonic() < deadline, f"after {TIMEOUT} s the job is still {job}"
        time.sleep(0.02)


def wait_until_listed(client: TestClient, job_id: str) -> None:
    """Wait until a job is among the failed ones: an engine's list may be a moment late."""
    deadline = time.monotonic() + TIMEOUT
    while job_id not in failed_jobs(client):
        assert time.monotonic() < deadline, f"after {TIMEOUT} s the job is not listed"
        time.sleep(0.02)


def failed_jobs(client: TestClient) -> list[str]:
    answer = client.get("/jobs", params={"state": "failed"}).raise_for_status()
    return [job["id"] for job in answer.json()]


def email(to: str, **fields: str) -> dict[str, str]:
    return {"to": to, "subject": "Welcome", "body": "Hello!", **fields}


def someone() -> str:
    return f"{uuid4().hex}@example.com"


def contacts_file(rows: int) -> str:
    """Put a CSV file into the imports folder, and return its name."""
    folder = get_settings().imports_dir
    folder.mkdir(parents=True, exist_ok=True)
    name = uuid4().hex
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["email", "name"])
        writer.writerows(
            [f"{number}-{name}@example.com", f"Nr. {number}"] for number in range(rows)
        )
    return f"{name}.csv"


def shorten(file: str, rows: int) -> None:
    """Leave only the first rows of a file."""
    path = get_settings().imports_dir / file
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: 1 + rows]))


def imported(file: str) -> int:
    """Count the contacts that came from a file."""
    pattern = f"%-{Path(file).stem}@example.com"
    with sqlite3.connect(get_settings().data_dir / "app.db") as database:
        query = "SELECT count(*) FROM contacts WHERE email LIKE ?"
        count: int = database.execute(query, (pattern,)).fetchone()[0]
        return count


def test_an_email_is_sent(client: TestClient, mailbox: Mailbox) -> None:
    to = someone()
    answer = client.post("/jobs/email", json=email(to, subject="Willkommen · سلام", body="Grüße"))

    assert answer.status_code == 202
    accepted = answer.json()
    assert answer.headers["Location"] == accepted["url"] == f"/jobs/{accepted['id']}"
    job = wait(client, accepted["id"])
    assert (job["kind"], job["state"], job["result"]) == ("email", "succeeded", True)
    [message] = mailbox.to(to)
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().strip() == "Grüße"
    assert message["Message-ID"] == f"<{accepted['id']}@example.com>"


def test_the_same_key_sends_once(client: TestClient, mailbox: Mailbox) -> None:
    to = someone()
    headers = {"Idempotency-Key": uuid4().hex}
    ids = set()
    for _ in range(3):
        ids.add(client.post("/jobs/email", json=email(to), headers=headers).json()["id"])
    wait(client, *ids)
    ids.add(client.post("/jobs/email", json=email(to), headers=headers).json()["id"])

    assert len(ids) == 1
    assert len(mailbox.to(to)) == 1


def test_a_busy_mail_server_is_tried_again(client: TestClient, mailbox: Mailbox) -> None:
    to = someone()
    mailbox.answers[to] = ["451 try again later"]
    job_id = client.post("/jobs/email", json=email(to)).json()["id"]

    assert wait(client, job_id)["state"] == "succeeded"
    assert len(mailbox.to(to)) == 1


def test_a_rejected_email_fails_at_once_and_can_be_retried(
    client: TestClient, mailbox: Mailbox
) -> None:
    to = someone()
    mailbox.answers[to] = ["550 no such mailbox"]
    job_id = client.post("/jobs/email", json=email(to)).json()["id"]

    job = wait(client, job_id)
    assert job["state"] == "failed"
    assert "550 no such mailbox" in job["error"]
    assert not mailbox.answers[to]

    assert client.post(f"/jobs/{job_id}/retry").status_code == 202
    assert wait(client, job_id)["state"] == "succeeded"
    assert len(mailbox.to(to)) == 1


def test_an_import_reports_its_progress(client: TestClient) -> None:
    file = contacts_file(rows=25)
    job_id = client.post("/jobs/import", json={"file": file}).json()["id"]

    job = wait(client, job_id)
    assert (job["kind"], job["state"], job["result"]) == ("import", "succeeded", {"rows": 25})
    assert job["progress"] == {"done": 25, "total": 25}
    assert imported(file) == 25


def test_a_failed_import_is_listed_and_goes_on_after_its_last_row(client: TestClient) -> None:
    file = contacts_file(rows=3)
    path = get_settings().imports_dir / file
    good = path.read_text()
    path.write_text(good.replace("2-", "2 is not an address "))
    job_id = client.post("/jobs/import", json={"file": file}).json()["id"]

    job = wait(client, job_id)
    assert job["state"] == "failed"
    assert "row 3" in job["error"]
    assert imported(file) == 2
    wait_until_listed(client, job_id)

    path.write_text(good)
    assert client.post(f"/jobs/{job_id}/retry").status_code == 202
    assert wait(client, job_id)["result"] == {"rows": 3}
    assert imported(file) == 3
    assert job_id not in failed_jobs(client)


def test_a_running_import_can_be_cancelled_and_resumed(client: TestClient) -> None:
    file = contacts_file(rows=ENDLESS)
    job_id = client.post("/jobs/import", json={"file": file}).json()["id"]
    wait(client, job_id, {"running"})
    assert client.post(f"/jobs/{job_id}/cancel").status_code == 202

    assert wait(client, job_id)["state"] == "cancelled"
    done = imported(file)
    time.sleep(0.2)
    assert imported(file) == done < ENDLESS

    shorten(file, done + 10)
    assert client.post(f"/jobs/{job_id}/retry").status_code == 202
    assert wait(client, job_id)["result"] == {"rows": done + 10}
    assert imported(file) == done + 10


def test_an_ended_job_is_neither_cancelled_nor_retried(client: TestClient) -> None:
    job_id = client.post("/jobs/email", json=email(someone())).json()["id"]
    wait(client, job_id)

    for action in ("cancel", "retry"):
        answer = client.post(f"/jobs/{job_id}/{action}")
        assert answer.status_code == 409
        assert "is succeeded" in answer.json()["detail"]


def test_an_unknown_job_is_not_found(client: TestClient) -> None:
    assert client.get("/jobs/email-nobody").status_code == 404
    assert client.post("/jobs/email-nobody/cancel").status_code == 404
    assert client.post("/jobs/email-nobody/retry").status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/jobs/email", {}),
        ("/jobs/email", email("nobody")),
        ("/jobs/email", email("a@example.com", subject="")),
        ("/jobs/email", email("a@example.com", subject="Hi\nBcc: b@example.com")),
        ("/jobs/email", email("a@example.com", attachment="x")),
        ("/jobs/import", {}),
        ("/jobs/import", {"file": ""}),
        ("/jobs/import", {"file": "../secrets.csv"}),
        ("/jobs/import", {"file": "/etc/passwd"}),
    ],
)
def test_a_bad_body_is_refused(client: TestClient, path: str, body: dict[str, str]) -> None:
    assert client.post(path, json=body).status_code == 422


def test_a_bad_key_is_refused(client: TestClient) -> None:
    headers = {"Idempotency-Key": "not a key"}
    answer = client.post("/jobs/email", json=email(someone()), headers=headers)
    assert answer.status_code == 422


def test_the_api_is_healthy(client: TestClient) -> None:
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200
