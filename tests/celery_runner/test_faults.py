"""Jobs survive what happens to workers and brokers."""

import os
import signal
import time

import pytest

from tests.celery_runner.project import Project, Refused, until

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
    with project.worker("-n", "other@%h", "-c", "6") as other:
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
        if project.broker is not project.redis:
            until(lambda: project.ask(messages("sample.dead")) == 1)

        project.ask(f"asyncio.run(jobs.retry({job_id!r}))")
        started(project, job_id, times=6)
        assert project.ended(job_id)["state"] == "failed"
        assert len(project.runs(job_id)) == 6


def messages(queue: str) -> str:
    return (
        "app.connection_for_read().channel()"
        f".queue_declare({queue!r}, passive=True).message_count"
    )


def test_a_message_that_is_lost_on_the_way_is_sent_again(project: Project) -> None:
    job_id = project.enqueue("sleep", 0)
    if project.broker is project.redis:
        assert project.ask("app.connection_for_read().channel().client.rpop('sample')")
    else:
        assert project.ask("app.connection_for_read().channel().queue_purge('sample')") == 1
    with project.worker():
        enqueued = time.time()
        assert project.ended(job_id)["state"] == "succeeded"
        print("lost message replaced after", time.time() - enqueued)
    assert len(project.runs(job_id)) == 1


def test_jobs_that_wait_are_not_sent_again(project: Project) -> None:
    ids = [project.enqueue("sleep", 0.8) for _ in range(40)]
    with project.worker() as worker:
        for job_id in ids:
            assert project.ended(job_id)["state"] == "succeeded"
        assert "sent again" not in worker.log.read_text()
    assert [len(project.runs(job_id)) for job_id in ids] == [1] * 40


def test_a_second_message_does_a_job_once(project: Project) -> None:
    job_id = project.enqueue("sleep", 2)
    again = f"job_task.send_again({job_id!r})"
    project.ask(again)
    with project.worker():
        started(project, job_id)
        project.ask(again)
        assert project.ended(job_id)["state"] == "succeeded"
        project.ask(again)
        project.ended(project.enqueue("sleep", 0))
    assert len(project.runs(job_id)) == 1


def test_a_job_is_cancelled_within_two_seconds(project: Project) -> None:
    with project.worker():
        job_id = project.enqueue("sleep", 30)
        started(project, job_id)
        project.ask(f"asyncio.run(jobs.cancel({job_id!r}))")
        assert project.ended(job_id, timeout=2)["state"] == "cancelled"
    assert project.runs(job_id, "ended") == []


def test_time_limits_end_a_job(project: Project) -> None:
    with project.worker():
        soft = project.enqueue("stubborn", False)
        hard = project.enqueue("stubborn", True)
        assert "SoftTimeLimitExceeded" in project.ended(soft)["error"]
        assert project.ended(hard)["error"] == "It was killed at its time limit."
        assert len(project.runs(soft)) == len(project.runs(hard)) == 1


def test_an_error_that_passes_is_tried_again(project: Project) -> None:
    with project.worker():
        job_id = project.enqueue("busy", 3)
        job = project.ended(job_id)
    assert (job["state"], job["result"]) == ("succeeded", 4)


def test_a_worker_that_is_told_to_stop_gives_back_what_it_cannot_finish(
    project: Project,
) -> None:
    with project.worker(SOFT_SHUTDOWN="3", REMAP_SIGTERM="SIGQUIT") as worker:
        short = project.enqueue("sleep", 2)
        long = project.enqueue("sleep", 12)
        started(project, short)
        started(project, long)
        worker.process.terminate()
        asked = time.time()
        worker.process.wait(10)
        print("stopped after", time.time() - asked)
        assert project.job(short)["state"] == "succeeded"
        assert project.job(long)["state"] == "queued"
    with project.worker():
        begun = time.time()
        started(project, long, times=2)
        print("resumed after", time.time() - begun)
        assert project.runs(long)[1] - begun < 2
        project.ask(f"asyncio.run(jobs.cancel({long!r}))")
        project.ended(long)
    assert len(project.runs(short)) == 1


def test_a_worker_waits_for_its_broker(project: Project) -> None:
    project.broker.kill()
    with project.worker(wait=False):
        time.sleep(2)
        project.broker.start()
        assert project.ended(project.enqueue("sleep", 0))["state"] == "succeeded"


def test_jobs_survive_restarts_of_the_broker(project: Project) -> None:
    with project.worker() as worker:
        ids = []
        for _ in range(3):
            ids += [project.enqueue("sleep", 0.01) for _ in range(100)]
            project.broker.kill()
            project.broker.start()
        assert [project.ended(job_id)["state"] for job_id in ids] == ["succeeded"] * 300
    assert [len(project.runs(job_id)) for job_id in ids] == [1] * 300


def test_a_frozen_broker_is_reported_within_ten_seconds(project: Project) -> None:
    project.close_console()
    for prepare in ("None", "faults.sleep.delay(0).id"):
        print(prepare)
        project.ask(prepare)
        project.broker.signal(signal.SIGSTOP)
        try:
            asked = time.monotonic()
            with pytest.raises(Refused, match="EngineUnavailable"):
                project.enqueue("sleep", 0)
            print("refused after", time.monotonic() - asked)
            assert time.monotonic() - asked < 10
            asked = time.monotonic()
            with pytest.raises(Refused, match="EngineUnavailable"):
                project.ask("asyncio.run(jobs.check())")
            print("checked after", time.monotonic() - asked)
            assert time.monotonic() - asked < 10
        finally:
            project.broker.signal(signal.SIGCONT)
