"""Jobs survive what happens to messages, workers and the broker."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery.beat import PersistentScheduler
from fastapi.testclient import TestClient
from redis import Redis

from internal import celery_check, job_records
from internal.celery_app import app
from internal.celery_tasks import send_email
from internal.job_records import Call
from internal.job_task import send_again
from internal.job_types import JobNotFound
from tests.conftest import Mailbox, free_port
from tests.runner import Worker, running, until
from tests.tasks import poison
from tests.test_jobs import ENDLESS, contacts_file, email, imported, shorten, someone, wait

PREFIX = app.conf.task_default_queue


@pytest.fixture
def redis(engine: str) -> Iterator[Redis]:
    with Redis.from_url(f"{engine}/1", decode_responses=True) as redis:
        yield redis


def let_time_pass(redis: Redis, job_id: str) -> None:
    """Make it so long ago that a job was heard of that its worker, or its message, is lost."""
    pause = int(job_records.SILENCE * 1000)
    redis.decrby(f"{PREFIX}:swept_since", pause)
    for index in ("queued", "running"):
        if redis.zscore(f"{PREFIX}:{index}", job_id):
            redis.zincrby(f"{PREFIX}:{index}", -pause, job_id)


def test_tasks_schedule_and_limits_fit() -> None:
    assert celery_check.configuration() == []


def test_the_worker_shows_that_it_listens(runner: Worker) -> None:
    until(lambda: celery_check.alive("worker") == [])


def test_a_second_message_sends_no_second_email(client: TestClient, mailbox: Mailbox) -> None:
    to = someone()
    job_id = client.post("/jobs/email", json=email(to)).json()["id"]
    send_again(job_id)
    wait(client, job_id)
    send_again(job_id)
    wait(client, client.post("/jobs/email", json=email(someone())).json()["id"])

    assert len(mailbox.to(to)) == 1


def test_a_job_without_a_message_is_sent_again(client: TestClient, redis: Redis) -> None:
    call = Call("email", send_email.name, [someone(), "Hi", ""], {})
    job_records.create("email-lost", call)
    let_time_pass(redis, "email-lost")

    assert wait(client, "email-lost")["state"] == "succeeded"


def test_what_could_not_be_sent_is_forgotten_unless_somebody_relies_on_it(redis: Redis) -> None:
    call = Call("email", send_email.name, [someone(), "Hi", ""], {})
    job_records.create("email-refused", call)
    job_records.withdraw("email-refused")
    with pytest.raises(JobNotFound):
        job_records.get("email-refused")

    job_records.create("email-shared", call)
    assert not job_records.create("email-shared", call)
    job_records.withdraw("email-shared")
    assert job_records.get("email-shared").state == "queued"


def test_an_import_whose_worker_was_killed_goes_on_after_its_last_row(
    client: TestClient, runner: Worker, redis: Redis
) -> None:
    file = contacts_file(rows=ENDLESS)
    job_id = client.post("/jobs/import", json={"file": file}).json()["id"]
    wait(client, job_id, {"running"})
    until(lambda: imported(file) > 10)
    runner.kill()
    done = imported(file)
    shorten(file, done + 10)
    let_time_pass(redis, job_id)
    runner.start()

    assert wait(client, job_id)["result"] == {"rows": done + 10}
    assert imported(file) == done + 10


def test_a_job_that_kills_its_workers_is_given_up_listed_and_can_be_replayed(
    client: TestClient,
) -> None:
    job_id = poison.delay().id

    job = wait(client, job_id)
    assert (job["state"], job["error"]) == ("failed", "3 workers in a row died while running it")
    failed = client.get("/jobs", params={"state": "failed"}).json()
    assert job_id in [job["id"] for job in failed]

    assert client.post(f"/jobs/{job_id}/retry").status_code == 202
    assert wait(client, job_id, {"running"})["error"] is None
    assert client.post(f"/jobs/{job_id}/cancel").status_code == 202
    assert wait(client, job_id)["state"] == "cancelled"


def test_two_schedulers_do_what_is_due_once(
    client: TestClient, redis: Redis, tmp_path: Path
) -> None:
    beat = [sys.executable, "-m", "celery", "-A", "internal.celery_app", "beat", "-l", "INFO"]
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    with (
        running([*beat, "-s", overdue(tmp_path / "first")], first),
        running([*beat, "-s", overdue(tmp_path / "second")], second),
    ):
        until(lambda: "Sending due task" in first.read_text())
        until(lambda: "Sending due task" in second.read_text())
        assert celery_check.alive("beat") == []

    [key] = redis.scan_iter(f"{PREFIX}:job:cleanup-*")
    job = wait(client, key.rpartition(":")[2])
    assert (job["kind"], job["state"]) == ("cleanup", "succeeded")


def overdue(path: Path) -> str:
    """Write a scheduler's memory, by which everything was last done two days ago."""
    scheduler = PersistentScheduler(app, schedule_filename=str(path))
    for entry in scheduler.schedule.values():
        entry.last_run_at = datetime.now(UTC) - timedelta(days=2)
    scheduler.close()
    return str(path)


def test_without_the_broker_the_api_is_up_and_says_when_to_come_back(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = f"redis://127.0.0.1:{free_port()}"
    monkeypatch.setenv("CELERY_BROKER_URL", f"{absent}/0")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", f"{absent}/1")
    program = """
import json
from fastapi.testclient import TestClient
from api.main import app

with TestClient(app) as client:
    email = {"to": "a@example.com", "subject": "Hi"}
    answers = [client.get("/livez"), client.get("/readyz"), client.post("/jobs/email", json=email)]
print(json.dumps([[answer.status_code, answer.headers.get("retry-after")] for answer in answers]))
"""
    output = subprocess.check_output([sys.executable, "-c", program], timeout=30)
    assert json.loads(output) == [[200, None], [503, "5"], [503, "5"]]
