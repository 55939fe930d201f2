"""Whatever a job does to its worker, it ends in exactly one way."""

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
    job = project.ended(project.enqueue("busy", failures=3))
    assert (job["state"], job["result"]) == ("succeeded", 4)


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_a_second_message_does_a_job_once(project: Project, worker: Worker) -> None:
    job_id = project.enqueue("sleep", seconds=2)
    project.ask("send_again", job_id, "sleep")
    project.started(job_id)
    project.ask("send_again", job_id, "sleep")
    assert project.ended(job_id)["state"] == "succeeded"
    project.ask("send_again", job_id, "sleep")
    project.ended(project.enqueue("sleep"))
    assert len(project.runs(job_id)) == 1


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_a_job_is_cancelled_within_two_seconds(project: Project, worker: Worker) -> None:
    job_id = project.enqueue("sleep", seconds=30)
    project.started(job_id)
    project.ask("cancel", job_id)
    assert project.ended(job_id, timeout=2)["state"] == "cancelled"
    assert project.runs(job_id, "ended") == []


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_blocking_code_that_does_not_stop_is_left_behind(project: Project, worker: Worker) -> None:
    job_id = project.enqueue("deaf")
    assert project.ended(job_id)["error"] == "TimeoutError: not done within 1 seconds"
    assert len(project.runs(job_id)) == 1
    assert project.ended(project.enqueue("sleep"))["state"] == "succeeded"


def test_a_poisonous_job_is_stopped_and_can_be_replayed(project: Project, worker: Worker) -> None:
    worker.stop()
    beside = project.enqueue("sleep", seconds=2)
    job_id = project.enqueue("poison")
    for _ in range(3):
        with project.worker() as victim:
            until(lambda victim=victim: victim.process.poll() is not None)
    with project.worker():
        job = project.ended(job_id)
        assert job["state"] == "failed"
        assert job["error"] == "3 workers in a row died while running it"
        assert len(project.runs(job_id)) == 3
        # A job that ran when two workers died is not taken for the one that killed them.
        assert project.ended(beside)["state"] == "succeeded"
        project.ask("retry", job_id)
        project.started(job_id, times=4)
    # Its worker is dead: another one finds the request.
    project.ask("cancel", job_id)
    with project.worker():
        assert project.ended(job_id)["state"] == "cancelled"
