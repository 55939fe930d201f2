"""A message that is no job is put aside, and harms neither its worker nor the next job."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import amqp
import pytest
import redis

from tests.kit.bad_messages import FOR_REDIS, NO_JOBS, ODD_JOBS, write
from tests.kit.brokers import RabbitMQ
from tests.kit.celery_project import Project, Worker
from tests.kit.waiting import until

pytestmark = pytest.mark.slow

QUEUE = "sample"
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def worker(project: Project) -> Iterator[Worker]:
    with redis.Redis.from_url(f"{project.redis.url}/1") as records:
        records.flushdb()
    with project.worker() as worker:
        yield worker


def put_aside(project: Project) -> list[dict[str, str]]:
    """Return what was put aside, the newest first."""
    with redis.Redis.from_url(f"{project.redis.url}/1") as records:
        return [json.loads(entry) for entry in records.lrange(f"{QUEUE}:dead-letters", 0, -1)]


def dead(project: Project) -> int:
    """Return how many messages are in RabbitMQ's dead-letter queue."""
    with amqp.Connection(f"127.0.0.1:{project.broker.port}") as connection:
        declared = connection.channel().queue_declare(f"{QUEUE}.dead", passive=True)
        return int(declared.message_count)


@pytest.mark.parametrize("name", [*NO_JOBS, *FOR_REDIS])
def test_a_message_that_is_no_job_is_put_aside(project: Project, worker: Worker, name: str) -> None:
    if name in FOR_REDIS and isinstance(project.broker, RabbitMQ):
        pytest.skip("AMQP has no such message")
    before = len(put_aside(project))
    dead_before = dead(project) if isinstance(project.broker, RabbitMQ) else 0
    write(project.broker, QUEUE, {**NO_JOBS, **FOR_REDIS}[name])

    assert project.ended(project.enqueue("sleep"), timeout=20)["state"] == "succeeded"
    until(lambda: len(put_aside(project)) > before, 20)
    newest = put_aside(project)[0]
    assert newest["queue"] == QUEUE
    assert newest["reason"]
    if isinstance(project.broker, RabbitMQ):
        until(lambda: dead(project) > dead_before, 20)
    assert worker.process.poll() is None


def test_it_was_put_aside_once_with_a_line_in_the_log(project: Project, worker: Worker) -> None:
    number = len(put_aside(project))
    lines = re.findall(r"is no job, and was put aside: \S", worker.log.read_text())
    assert len(lines) == number
    if isinstance(project.broker, RabbitMQ):
        assert dead(project) == number


def test_no_message_took_the_worker_more_than_its_memory(worker: Worker) -> None:
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", status)
    assert int(peak) * 1024 < 300 * MEGABYTE


@pytest.mark.parametrize("name", ODD_JOBS)
def test_an_odd_job_ends(project: Project, worker: Worker, name: str) -> None:
    before = len(put_aside(project))
    write(project.broker, QUEUE, ODD_JOBS[name])
    job_id = str(ODD_JOBS[name].headers["id"])

    until(lambda: job_id in project.ask("jobs_of", "native"), 20)
    assert project.ended(job_id, timeout=20)["state"] in ("succeeded", "failed")
    assert project.ended(project.enqueue("sleep"), timeout=20)["state"] == "succeeded"
    assert len(put_aside(project)) == before
    assert worker.process.poll() is None
