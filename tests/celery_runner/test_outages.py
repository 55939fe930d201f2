"""Jobs survive the end of their worker, and outages of the broker."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kit.brokers import BROKERS, RabbitMQ, Server
from tests.kit.celery_project import Project, Refused
from tests.kit.storm import Result, storm
from tests.kit.waiting import until

pytestmark = pytest.mark.slow


def test_a_job_whose_worker_was_killed_runs_elsewhere_and_a_long_one_stays(
    project: Project,
) -> None:
    limit = 15 if project.broker is project.redis else 3
    with project.worker():
        long = project.enqueue("sleep", seconds=limit + 3)
        project.started(long)
        with project.worker() as victim:
            jobs = [project.enqueue("sleep", seconds=2) for _ in range(6)]
            for job_id in jobs:
                project.started(job_id)
            killed = time.time()
            victim.kill()

        assert [project.ended(job_id)["state"] for job_id in jobs] == ["succeeded"] * 6
        again = [times[1] for job_id in jobs if len(times := project.runs(job_id)) > 1]
        assert again
        assert max(again) - killed < limit
        assert project.ended(long)["state"] == "succeeded"
        assert len(project.runs(long)) == 1


def test_a_message_that_is_lost_on_the_way_is_sent_again(project: Project) -> None:
    job_id = project.enqueue("sleep")
    assert project.ask("lose_message")
    with project.worker():
        assert project.ended(job_id, timeout=15)["state"] == "succeeded"
    assert len(project.runs(job_id)) == 1


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_jobs_that_wait_are_not_sent_again(project: Project) -> None:
    ids = [project.enqueue("sleep", seconds=3) for _ in range(60)]
    with project.worker() as worker:
        for job_id in ids:
            assert project.ended(job_id)["state"] == "succeeded"
        assert "sent again" not in worker.log.read_text()
    assert [len(project.runs(job_id)) for job_id in ids] == [1] * 60


def test_a_worker_that_is_told_to_stop_gives_back_what_it_cannot_finish(
    project: Project,
) -> None:
    with project.worker(SOFT_SHUTDOWN="3", REMAP_SIGTERM="SIGQUIT") as worker:
        short = project.enqueue("sleep", seconds=2)
        long = project.enqueue("sleep", seconds=12)
        project.started(short)
        project.started(long)
        worker.process.terminate()
        worker.process.wait(10)
        assert project.job(short)["state"] == "succeeded"
        assert project.job(long)["state"] == "queued"
    with project.worker():
        begun = time.time()
        project.started(long, times=2)
        assert project.runs(long)[1] - begun < 2
        project.ask("cancel", long)
        project.ended(long)
    assert len(project.runs(short)) == 1


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_a_worker_waits_for_its_broker(project: Project) -> None:
    project.broker.kill()
    with project.worker(wait=False):
        time.sleep(2)
        project.broker.start()
        assert project.ended(project.enqueue("sleep"))["state"] == "succeeded"


def test_jobs_are_enqueued_together_also_after_the_connection_broke(project: Project) -> None:
    ids = project.ask("enqueue_together", "sleep", 20)
    project.broker.stop()
    project.broker.start()
    ids += project.ask("enqueue_together", "sleep", 20)
    with project.worker():
        assert [project.ended(job_id)["state"] for job_id in ids] == ["succeeded"] * 40
    assert [len(project.runs(job_id)) for job_id in ids] == [1] * 40


@pytest.mark.parametrize("broker", BROKERS)
def test_a_storm_loses_nothing_and_does_nothing_twice(broker: str, tmp_path: Path) -> None:
    result = storm_on(broker, tmp_path, jobs=300, kills=3, restarts=2)
    assert (result.kills, result.restarts) == (3, 2)
    assert (result.lost, result.twice) == (0, 0)
    assert result.states == {"succeeded": 300}


@pytest.mark.parametrize("connected", [False, True], ids=["a-new-sender", "a-connected-sender"])
def test_a_frozen_broker_is_reported_within_ten_seconds(project: Project, connected: bool) -> None:
    project.close_console()
    if connected:
        project.enqueue("sleep")
    else:
        project.ask("nothing")
    project.broker.signal(signal.SIGSTOP)
    try:
        for command in (["enqueue", "sleep"], ["delay", 0], ["check"]):
            asked = time.monotonic()
            with pytest.raises(Refused, match=r"EngineUnavailable|NotConfirmed"):
                project.ask(*command)
            assert time.monotonic() - asked < 10
        asked = time.monotonic()
        status, headers = project.ask("post_email")
        assert (status, headers["retry-after"].isdigit()) == (503, True)
        assert time.monotonic() - asked < 10
    finally:
        project.broker.signal(signal.SIGCONT)


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_what_was_recorded_while_redis_was_frozen_is_done_afterwards(project: Project) -> None:
    with project.worker():
        project.ended(project.enqueue("sleep"))
        project.redis.signal(signal.SIGSTOP)
        try:
            for number in range(4):
                with pytest.raises(Refused, match=r"EngineUnavailable|NotConfirmed"):
                    project.enqueue("sleep", key=f"frozen-{number}")
        finally:
            time.sleep(2)
            project.redis.signal(signal.SIGCONT)
        for number in range(4):
            project.enqueue("sleep", key=f"frozen-{number}")
        for number in range(4):
            assert project.ended(f"sleep-frozen-{number}")["state"] == "succeeded"


@contextmanager
def full(broker: Server) -> Iterator[None]:
    """Let RabbitMQ take nothing for lack of disk space; for lack of memory, it does the same."""
    assert isinstance(broker, RabbitMQ)
    broker.control("set_disk_free_limit", "900000GB")
    try:
        yield
    finally:
        broker.control("set_disk_free_limit", "50MB")


@pytest.mark.parametrize("project", ["rabbitmq"], indirect=True)
def test_while_rabbitmq_takes_nothing_the_api_says_so_and_workers_empty_it_start_and_end(
    project: Project,
) -> None:
    keys = [f"full-{number}" for number in range(5)]
    many = [f"many-{number}" for number in range(20)]
    waiting = [project.enqueue("sleep", key=f"waits-{number}") for number in range(5)]
    with ExitStack() as end:
        with full(project.broker):
            with project.worker() as first:
                for job_id in waiting:
                    assert project.ended(job_id)["state"] == "succeeded"
                with pytest.raises(Refused, match="RabbitMQ takes no messages until it has more"):
                    project.enqueue("sleep", key=keys[0])
                asked = time.monotonic()
                assert project.ask("post_all", "sleep", keys) == [503] * 5
                assert time.monotonic() - asked < 10
                asked = time.monotonic()
                with pytest.raises(Refused, match="NotEnqueued"):
                    project.ask("enqueue_many", "sleep", many)
                assert time.monotonic() - asked < 10
            assert first.process.returncode == 0
            second = end.enter_context(project.worker())
            until(lambda: "the sweep has to wait" in second.log.read_text())
            # To say in each round that each message is sent would fill the log.
            assert "was sent again" not in second.log.read_text()
        until(lambda: project.ask("post_all", "sleep", keys) == [202] * 5)
        project.ask("enqueue_many", "sleep", many)
        for job_id in [*waiting, *(f"sleep-{key}" for key in (*keys, *many))]:
            assert project.ended(job_id)["state"] == "succeeded"
            assert len(project.runs(job_id)) == 1


@pytest.mark.parametrize("broker", BROKERS)
def test_workflows_in_a_storm_do_each_step_once(broker: str, tmp_path: Path) -> None:
    result = storm_on(broker, tmp_path, jobs=50, kills=3, restarts=1, kinds=["onboard"])
    assert (result.kills, result.restarts) == (3, 1)
    assert (result.lost, result.twice) == (0, 0)
    assert result.states == {"succeeded": 50}


def storm_on(broker: str, folder: Path, **storm_options: Any) -> Result:
    """Do jobs on a broker under faults, unless it is not installed here."""
    if missing := BROKERS[broker].missing():
        pytest.skip(missing)
    return storm({"task_runner": "celery", "celery_broker": broker}, folder, **storm_options)
