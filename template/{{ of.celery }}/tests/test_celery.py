"""Jobs survive what happens to messages, workers and the broker."""

import asyncio
import json
import logging
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from celery import Celery
from fastapi.testclient import TestClient
from redis import Redis

from internal.celery_app import app
from internal.celery_tasks import send_email
from internal.config import get_settings
from internal.runner import (
    JobNotFound,
    KeyReused,
    celery_check,
    enqueue_many,
    list_jobs,
    liveness,
    messages,
    records,
    scheduler,
)
from internal.runner import get as get_job
from internal.runner.batches import Records
from internal.runner.execution import run_definition
from internal.runner.leases import Held
from internal.runner.liveness import alive_file, away_file, watch_database
from internal.runner.records import Later, Message, Record, Taken
from internal.runner.task import record_of
from tests.api import done, listed, post, until, wait
from tests.conftest import Mailbox, free_port
from tests.jobs.promises import Add, Flaky, note, notes
from tests.jobs.workers import native
from tests.runner import Worker

PREFIX = app.conf.task_default_queue
LAST_RUNS = f"{PREFIX}:last-runs"


@pytest.fixture
def redis(engine: str) -> Iterator[Redis]:
    with Redis.from_url(f"{engine}/1", decode_responses=True) as redis:
        yield redis


def let_time_pass(redis: Redis, job_id: str) -> None:
    """Make it so long ago that a job was heard of that its worker, or its message, is lost."""
    pause = int(records.LEASE_TIMEOUT * 1000)
    redis.decrby(f"{PREFIX}:swept_since", pause)
    for index in ("queued:default", "running"):
        if redis.zscore(f"{PREFIX}:{index}", job_id):
            redis.zincrby(f"{PREFIX}:{index}", -pause, job_id)


def end_pause(redis: Redis, job_id: str, step: int) -> None:
    """Let the time come until which a workflow sleeps."""
    steps, now = f"{PREFIX}:steps:{job_id}", time.time()
    pause = json.loads(redis.hget(steps, str(step)) or "")
    redis.hset(steps, str(step), json.dumps({**pause, "due": now}))
    redis.zadd(f"{PREFIX}:scheduled", {job_id: int(now * 1000)})


def an_email() -> tuple[str, tuple[str, str, str]]:
    """Return a recipient that nobody else has, and what `send_email` is called with for it."""
    to = f"{uuid4().hex}@example.com"
    return to, (to, "Hi", "")


def test_jobs_schedules_queues_and_limits_fit() -> None:
    assert celery_check.configuration() == []


def test_the_worker_shows_that_it_listens(runner: Worker) -> None:
    until(lambda: celery_check.alive("worker") == [])


def test_a_worker_says_that_its_database_is_away(
    engine: str, absent_database: None, tmp_path: Path
) -> None:
    worker = Worker(tmp_path / "log")
    worker.start(CELERY_TASK_DEFAULT_QUEUE="other", TMPDIR=str(tmp_path))
    said = tmp_path / "other-worker.away"
    try:
        until(lambda: said.exists() and "The database is not available" in said.read_text())
    finally:
        worker.kill()


async def test_a_worker_says_no_more_that_its_database_is_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    away_file().write_text("as a worker before left it")
    assert celery_check.database_is_away() == ["as a worker before left it"]
    watching = asyncio.create_task(watch_database())
    await asyncio.to_thread(until, lambda: celery_check.database_is_away() == [])
    watching.cancel()


def test_a_worker_does_not_speak_for_one_of_other_queues(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own = get_settings()
    files = set()
    for queues in (None, frozenset({"slow"}), frozenset({"default", "slow"})):
        meant = own.model_copy(update={"worker_queues": queues})
        monkeypatch.setattr(liveness, "get_settings", lambda meant=meant: meant)
        assert celery_check.alive("worker") != []
        alive_file("worker").touch()
        away_file().touch()
        assert celery_check.alive("worker") == []
        files |= {alive_file("worker"), away_file()}
    assert len(files) == 6
    # The health checks of containers look for these names.
    assert {*tmp_path.glob("*-worker.alive"), *tmp_path.glob("*-worker.away")} == files


def test_a_native_task_is_recorded_listed_and_found(client: TestClient, mailbox: Mailbox) -> None:
    to, args = an_email()
    job_id = send_email.delay(*args).id

    job = wait(client, job_id)
    assert (job["kind"], job["state"], job["result"]) == ("send_email", "succeeded", True)
    assert job_id in listed(client, kind="send_email")
    [message] = mailbox.to(to)
    assert message["Message-ID"] == f"<{job_id}@example.com>"


def test_a_native_task_sent_from_outside_is_recorded(client: TestClient, mailbox: Mailbox) -> None:
    to, args = an_email()
    job_id = app.send_task("internal.celery_tasks.send_email", args).id
    until(lambda: mailbox.to(to))
    assert wait(client, job_id)["state"] == "succeeded"


def test_a_native_task_is_retried_as_it_asks_for(client: TestClient) -> None:
    succeeded = wait(client, native.delay(2).id)
    assert (succeeded["state"], succeeded["result"]) == ("succeeded", 2)
    failed = wait(client, native.delay(9).id)
    assert (failed["state"], failed["error"]) == ("failed", "OSError: not yet")


def test_a_second_message_does_a_job_once(client: TestClient) -> None:
    job_id = post(client, "test-flaky", {"failures": 0})
    message = Message(job_id, "jobs.test-flaky", "default")
    messages.send(message)
    wait(client, job_id)
    messages.send(message)
    done(client, "test-add", {})

    assert notes(job_id) == ["attempt 1"]


def test_a_job_without_a_message_is_sent_again(client: TestClient, redis: Redis) -> None:
    records.run(records.create(record_of("test-add-lost", Add())))
    let_time_pass(redis, "test-add-lost")

    assert wait(client, "test-add-lost")["state"] == "succeeded"


def test_what_could_not_be_sent_is_forgotten_unless_somebody_relies_on_it(engine: str) -> None:
    refused, shared = record_of("test-add-refused", Add()), record_of("test-add-shared", Add())
    records.run(records.create(refused))
    records.run(records.withdraw(refused.id))
    with pytest.raises(JobNotFound):
        records.run(records.get(refused.id))

    records.run(records.create(shared))
    assert records.run(records.create(shared)) is not True
    records.run(records.withdraw(shared.id))
    assert records.run(records.get(shared.id)).state == "queued"
    records.run(records.cancel(shared.id))


def test_ended_jobs_are_forgotten_after_their_retention(client: TestClient, redis: Redis) -> None:
    job_id = post(client, "test-add", {})
    wait(client, job_id)
    assert job_id in listed(client, kind="test-add")
    redis.zadd(f"{PREFIX}:expiring", {job_id: 1})

    until(lambda: client.get(f"/jobs/{job_id}").status_code == 404)
    assert job_id not in listed(client, kind="test-add")
    assert not list(redis.scan_iter(f"{PREFIX}:*{job_id}*"))


def test_the_starts_of_a_queue_with_a_rate_keep_their_distance(engine: str) -> None:
    ids = [f"test-add-rate-{number}" for number in range(3)]
    for job_id in ids:
        record = Record(job_id, "test-add", "limited", "jobs.test-add", "{}")
        records.run(records.create(record))
    first, *others = [records.run(records.take(job_id, "me", 10, 60, None)) for job_id in ids]
    assert isinstance(first, Taken)
    dues = [later.due for later in others if isinstance(later, Later)]
    assert [round(due - time.time(), -1) for due in dues] == [60, 120]
    for job_id in ids:
        records.run(records.cancel(job_id))


async def test_many_jobs_are_enqueued_at_once_and_keep_their_order(client: TestClient) -> None:
    jobs = await enqueue_many([Add(numbers=[number]) for number in range(300)])
    ids = {job.id for job in jobs}

    newest = await list_jobs(kind="test-add", limit=300)
    assert [job.id for job in newest.jobs] == [job.id for job in jobs[::-1]]
    assert wait(client, jobs[-1].id)["result"] == {"total": 299}
    until(lambda: ids.isdisjoint(listed(client, kind="test-add", state="queued", limit="300")))
    assert wait(client, jobs[7].id)["result"] == {"total": 7}


async def test_of_many_jobs_none_is_enqueued_if_a_key_belongs_to_another(
    client: TestClient,
) -> None:
    await enqueue_many({"batch-1": Add(numbers=[1])})
    with pytest.raises(KeyReused):
        await enqueue_many({"batch-2": Add(numbers=[2]), "batch-1": Add(numbers=[2])})
    with pytest.raises(JobNotFound):
        await get_job("test-add-batch-2")


def test_a_workflow_goes_on_where_its_workers_were_killed(
    client: TestClient, runner: Worker, redis: Redis
) -> None:
    job_id = post(client, "test-interrupted", {})
    until(lambda: "second" in notes(job_id))
    runner.kill()
    let_time_pass(redis, job_id)
    runner.start(MAX_SLEEP="3600")
    until(lambda: redis.hexists(f"{PREFIX}:steps:{job_id}", "3"))
    until(lambda: client.get(f"/jobs/{job_id}").json()["state"] == "queued")
    # It sleeps: no worker holds it, and no message waits for it.
    assert redis.zscore(f"{PREFIX}:scheduled", job_id)
    runner.kill()
    end_pause(redis, job_id, step=3)
    runner.start()

    job = wait(client, job_id)
    assert job["result"] == [f"{job_id}.{number}" for number in (1, 2, 4)]
    assert notes(job_id) == ["first", "second", "second", "third"]


def test_a_job_that_blocks_the_event_loop_is_named(client: TestClient, runner: Worker) -> None:
    job_id = post(client, "test-blocking", {})
    problem = f"test-blocking ({job_id}) blocks the event loop in tests/jobs/promises.py, line"
    until(lambda: problem in runner.log.read_text())
    note(job_id, "noticed")
    assert wait(client, job_id)["state"] == "succeeded"


async def test_the_log_has_a_traceback_of_unexpected_errors_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run(**fields: object) -> None:
        taken = Taken(json.dumps(fields), attempts=2, lost=0, progress=None, steps={})
        held = Held(f"test-flaky-{uuid4().hex}", Flaky.kind, 30, taken)
        await run_definition(Flaky, held, Records())

    await run(failures=9, permanent=True)
    assert "test-flaky failed: PermanentError: failure 3" in caplog.text
    assert "Traceback" not in caplog.text
    await run(failures=9)
    assert "test-flaky failed: OSError: failure 3" in caplog.text
    assert "Traceback" in caplog.text
    await run(failures="many")
    assert "test-flaky failed: ValidationError: " in caplog.text


def tick(caplog: pytest.LogCaptureFixture) -> bool:
    """Start a scheduler, as after a restart; tell whether it sends the daily job."""
    app.conf.beat_schedule = scheduler.schedules()
    caplog.clear()
    beat = scheduler.Scheduler(app)
    for _ in beat.schedule:
        beat.tick()
    beat.close()
    return "Sending due task test-daily" in caplog.text


def let_days_pass(redis: Redis) -> None:
    """Put back by two days when each job was last sent by its schedule."""
    before = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    redis.hset(LAST_RUNS, mapping=dict.fromkeys(scheduler.schedules(), before))


def test_what_was_due_while_no_scheduler_ran_is_done_once(
    client: TestClient, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    redis.delete(LAST_RUNS)
    redis.hset(LAST_RUNS, "no-more-there", datetime.now(UTC).isoformat())
    assert not tick(caplog)  # A schedule that is new begins with its next time.
    assert set(redis.hkeys(LAST_RUNS)) == set(scheduler.schedules())
    let_days_pass(redis)
    assert tick(caplog)
    assert not tick(caplog)
    let_days_pass(redis)
    assert tick(caplog)  # Like a second one that is started by mistake, at the same time.
    assert celery_check.alive("beat") == []

    [key] = redis.scan_iter(f"{PREFIX}:job:test-daily-????????T????")
    job = wait(client, key.rpartition(":")[2])
    assert (job["kind"], job["state"]) == ("test-daily", "succeeded")


def test_a_scheduler_waits_for_redis(
    engine: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.conf.beat_schedule = scheduler.schedules()
    let_days_pass(redis)
    beat = scheduler.Scheduler(app)
    with monkeypatch.context() as patch:
        absent = Redis.from_url(f"redis://127.0.0.1:{free_port()}/0")
        patch.setattr(records, "connection", lambda: absent)
        assert beat.tick() == scheduler.PAUSE
    assert beat.tick() == 0  # Something was due.


@pytest.mark.parametrize("missing", ["records", "broker"])
def test_without_its_engine_the_api_is_up_and_says_when_to_come_back(
    client: TestClient, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = f"redis://127.0.0.1:{free_port()}/0"
    if missing == "records":
        monkeypatch.setattr(records, "connection", lambda: Redis.from_url(absent))
    else:
        monkeypatch.setenv("CELERY_BROKER_URL", absent)
        other = Celery(set_as_current=False)
        other.conf.broker_transport_options = app.conf.broker_transport_options
        monkeypatch.setattr(messages, "app", other)
    assert client.get("/livez").status_code == 200
    for answer in (client.get("/readyz"), client.post("/jobs/test-add")):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
