"""Jobs survive what happens to workers and brokers."""

import os
import signal
import time

import pytest

from tests.celery_runner.conftest import Project, until

pytestmark = pytest.mark.slow


def started(project: Project, job_id: str, times: int = 1) -> None:
    until(lambda: len(project.runs(job_id)) >= times)


def test_a_job_whose_process_was_killed_runs_again_at_once(project: Project) -> None:
    with project.worker() as worker:
        job_id = project.enqueue("sleep", 3)
        started(project, job_id)
        killed = time.time()
        for pid in worker.children():
            os.kill(pid, signal.SIGKILL)

        assert project.ended(job_id)["state"] == "succeeded"
        first, second = project.runs(job_id)
        assert first < killed < second < killed + 6
        print("recovery after the child's death:", second - killed)


def test_a_job_whose_worker_was_killed_runs_again_elsewhere(project: Project) -> None:
    with project.worker("-n", "other@%h", "-c", "3") as other:
        long_one = project.enqueue("sleep", 18)
        started(project, long_one)
        with project.worker("-n", "victim@%h") as victim:
            others = [project.enqueue("sleep", 4) for _ in range(4)]
            for job_id in others:
                started(project, job_id)
            killed = time.time()
            victim.kill()
        for job_id in others:
            assert project.ended(job_id)["state"] == "succeeded"
        again = [times[1] - killed for job_id in others if len(times := project.runs(job_id)) > 1]
        print("recovery after the worker's death:", again)
        assert again
        assert max(again) < (15 if project.broker is project.redis else 3)
        assert project.ended(long_one)["state"] == "succeeded"
        assert len(project.runs(long_one)) == 1
        assert other.process.poll() is None


def test_a_poisonous_job_is_stopped_and_can_be_replayed(project: Project) -> None:
    with project.worker():
        job_id = project.enqueue("poison")
        job = project.ended(job_id)
        assert job["state"] == "failed"
        assert job["error"] == "3 workers in a row died while running it"
        assert len(project.runs(job_id)) == 3
