"""What is true of jobs because they run inside the API."""

import sqlite3

import pytest
from fastapi.testclient import TestClient

from api.main import app
from internal import clean_up, jobs
from internal.config import get_settings
from tests.conftest import Mailbox
from tests.test_jobs import contacts_file, email, imported, someone, wait


def test_the_end_of_the_api_waits_for_running_jobs(mailbox: Mailbox) -> None:
    file = contacts_file(rows=300)
    with TestClient(app) as client:
        job_id = client.post("/jobs/import", json={"file": file}).json()["id"]

    assert imported(file) == 300
    with TestClient(app) as client:
        assert client.get(f"/jobs/{job_id}").status_code == 404


def test_the_end_of_the_api_stops_what_takes_too_long(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "DRAIN_TIMEOUT", 0.1)
    file = contacts_file(rows=5_000)
    with TestClient(app) as client:
        job_id = client.post("/jobs/import", json={"file": file}).json()["id"]
        wait(client, job_id, {"running"})

    with sqlite3.connect(get_settings().data_dir / "app.db") as database:
        query = "SELECT rows_done FROM imports WHERE id = ?"
        assert database.execute(query, (job_id,)).fetchone() == (imported(file),)
    assert imported(file) < 5_000


def test_a_mail_server_that_stays_busy_fails_the_job(
    client: TestClient, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "ATTEMPTS", 2)
    to = someone()
    mailbox.answers[to] = ["451 busy", "451 still busy", "451 never seen"]
    job_id = client.post("/jobs/email", json=email(to)).json()["id"]

    job = wait(client, job_id)
    assert (job["state"], mailbox.answers[to]) == ("failed", ["451 never seen"])
    assert "still busy" in job["error"]


def test_only_the_newest_ended_jobs_are_remembered(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "KEPT", 2)
    ids = []
    for _ in range(5):
        ids.append(client.post("/jobs/email", json=email(someone())).json()["id"])
        wait(client, ids[-1])

    codes = [client.get(f"/jobs/{job_id}").status_code for job_id in ids]
    assert codes == [404, 404, 200, 200, 200]


def test_the_clean_up_is_a_command() -> None:
    outbox = get_settings().outbox_dir
    clean_up.main()
    assert not outbox.exists()
