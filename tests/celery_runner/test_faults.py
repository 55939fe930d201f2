"""Whatever a job does to its worker, it ends in exactly one way."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.kit.celery_project import Project, Worker
from tests.kit.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def worker(project: Project) -> Iterator[Worker]:
    with project.worker() as worker:
        yield worker


def test_a_transient_error_is_retried(project: Project, worker: Worker) -> None:
    job_id = project.enqueue("busy", 3)
    job = project.ended(job_id)
    assert (job["state"], job["result"]) == ("succeeded", 4)


def test_a_job_whose_process_was_killed_runs_again_at_once(
    project: Project, worker: Worker
) -> None:
    job_id = project.enqueue("sleep", 3)
    project.started(job_id)
    killed = time.time()
    for pid in worker.children():
        os.kill(pid, signal.SIGKILL)

    assert project.ended(job_id)["state"] == "succeeded"
    first, second = project.runs(job_id)
    assert first < killed < second < killed + 6


def test_a_poisonous_job_is_stopped_and_can_be_replayed(project: Project, worker: Worker) -> None:
    job_id = project.enqueue("poison")
    job = project.ended(job_id)
    assert job["state"] == "failed"
    assert job["error"] == "3 workers in a row died while running it"
    assert len(project.runs(job_id)) == 3
    if project.broker is not project.redis:
        until(lambda: project.ask("messages", "sample.dead") == 1)

    project.ask("retry", job_id)
    project.started(job_id, times=4)
    project.ask("cancel", job_id)
    assert project.ended(job_id)["state"] == "cancelled"


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_a_second_message_does_a_job_once(project: Project, worker: Worker) -> None:
    job_id = project.enqueue("sleep", 2)
    project.ask("send_again", job_id)
    project.started(job_id)
    project.ask("send_again", job_id)
    assert project.ended(job_id)["state"] == "succeeded"
    project.ask("send_again", job_id)
    project.ended(project.enqueue("sleep", 0))
    assert len(project.runs(job_id)) == 1


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_a_job_is_cancelled_within_two_seconds(project: Project, worker: Worker) -> None:
    job_id = project.enqueue("sleep", 30)
    project.started(job_id)
    project.ask("cancel", job_id)
    assert project.ended(job_id, timeout=2)["state"] == "cancelled"
    assert project.runs(job_id, "ended") == []


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_time_limits_end_a_job(project: Project, worker: Worker) -> None:
    soft = project.enqueue("stubborn", False)
    hard = project.enqueue("stubborn", True)
    assert "SoftTimeLimitExceeded" in project.ended(soft)["error"]
    assert project.ended(hard)["error"] == "It was killed at its time limit."
    assert len(project.runs(soft)) == len(project.runs(hard)) == 1
