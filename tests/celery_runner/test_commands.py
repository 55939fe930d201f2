"""The commands of the guide, as they are written there."""

import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.celery_runner.brokers import free_port
from tests.celery_runner.project import Project, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def beat(project: Project) -> Iterator[Path]:
    """Run the scheduler while the other commands are tried: it has a minute to fire."""
    job = project.folder / "internal/jobs/clean_up.py"
    job.write_text(job.read_text().replace("0 3 * * *", "* * * * *"))
    process, log = project.popen("celery -A internal.celery_app beat -l INFO")
    yield log
    process.terminate()
    process.wait(30)


def test_the_workers_command_does_an_email_sent_from_another_process(
    project: Project, beat: Path
) -> None:
    worker, _ = project.popen("celery -A internal.celery_app worker -l INFO")
    try:
        send = "send_email.delay('a@example.com', 'Hello', 'It works.').get(timeout=30)"
        assert project.ask(send) is True
    finally:
        worker.terminate()
        worker.wait(30)


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_flowers_command_shows_the_workers(project: Project) -> None:
    pytest.importorskip("flower")
    port = free_port()
    flower, log = project.popen(
        "celery -A internal.celery_app flower",
        FLOWER_PORT=str(port), FLOWER_ADDRESS="127.0.0.1", FLOWER_UNAUTHENTICATED_API="1",
    )  # fmt: skip
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/healthcheck"))
    except BaseException:
        print(log.read_text())
        raise
    finally:
        flower.terminate()
        flower.wait(30)


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_a_schedule_that_names_no_task_is_refused_at_the_start(project: Project) -> None:
    app = project.folder / "internal/celery_app.py"
    entry = "{'x': {'task': 'no.such.task', 'schedule': 60}}"
    before = app.read_text()
    app.write_text(before.replace("beat_schedule={}", f"beat_schedule={entry}"))
    try:
        process, log = project.popen("celery -A internal.celery_app beat -l INFO -s other")
        assert process.wait(30) != 0
    finally:
        app.write_text(before)
    assert "The schedule x names no.such.task, which is no task." in log.read_text()


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_a_message_in_pickle_is_not_read_and_the_worker_goes_on(project: Project) -> None:
    with project.worker() as worker:
        project.ask("faults.native.apply_async((0,), task_id='native-1', serializer='pickle')")
        assert project.ended(project.enqueue("sleep"))["state"] == "succeeded"
        assert "ContentDisallowed" in worker.log.read_text()


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_a_job_may_wait_longer_than_a_broker_keeps_a_message(project: Project) -> None:
    job_id = project.ask("faults.native.apply_async((0,), countdown=31_000_000).id")
    assert project.job(job_id)["state"] == "queued"
    waiting = "messages.waiting(app.connection_for_read(), 'default')"
    assert project.ask(waiting) == 0


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_the_beat_command_fires_what_is_scheduled(project: Project, beat: Path) -> None:
    with project.worker():
        until(lambda: "Sending due task cleanup" in beat.read_text(), timeout=75)
        find = "[*records.connection().scan_iter('sample:job:cleanup-*')]"
        until(lambda: project.ask(find))
        job_id = project.ask(find)[0].rpartition(":")[2]
        assert re.fullmatch(r"cleanup-\d{8}T\d{4}", job_id)
        assert project.ended(job_id)["state"] == "succeeded"
        for role in ("worker", "beat"):
            until(partial(seen_alive, project, role))


def seen_alive(project: Project, role: str) -> bool:
    check = [sys.executable, "-m", "internal.runner.celery_check", role]
    ended = subprocess.run(check, check=False, cwd=project.folder, env=project.environment)
    return ended.returncode == 0


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
