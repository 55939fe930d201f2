"""What is true of jobs because they run inside the API."""

import sqlite3

import pytest
from fastapi.testclient import TestClient

from api.main import app
from internal.config import get_settings
from internal.runner import pool
from tests.api import post, wait
from tests.conftest import Mailbox
from tests.test_import_contacts import contacts_file, imported


def test_the_end_of_the_api_waits_for_running_jobs(mailbox: Mailbox) -> None:
    file = contacts_file(rows=300)
    with TestClient(app) as client:
        job_id = post(client, "import", {"file": file})
        wait(client, job_id, {"running"})

    assert imported(file) == 300
    with TestClient(app) as client:
        assert client.get(f"/jobs/{job_id}").status_code == 404


def test_the_end_of_the_api_stops_what_takes_too_long(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "DRAIN_TIMEOUT", 0.1)
    file = contacts_file(rows=5_000)
    with TestClient(app) as client:
        job_id = post(client, "import", {"file": file})
        wait(client, job_id, {"running"})

    with sqlite3.connect(get_settings().data_dir / "app.db") as database:
        query = "SELECT rows_done FROM imports WHERE id = ?"
        assert database.execute(query, (job_id,)).fetchone() == (imported(file),)
    assert imported(file) < 5_000


def test_only_the_newest_ended_jobs_are_remembered(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "KEPT", 2)
    ids = []
    for _ in range(5):
        ids.append(post(client, "test-add", {}))
        wait(client, ids[-1])

    codes = [client.get(f"/jobs/{job_id}").status_code for job_id in ids]
    assert codes == [404, 404, 200, 200, 200]
