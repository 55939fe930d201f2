"""The commands of the guide, as they are written there."""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.kit.celery_project import Project
from tests.kit.ports import free_port
from tests.kit.waiting import until
from tests.kit.web import status

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def beat(project: Project) -> Iterator[Path]:
    """Run the scheduler while the other commands are tried: it has a minute to fire."""
    job = project.folder / "internal/jobs/clean_up.py"
    job.write_text(job.read_text().replace("0 3 * * *", "* * * * *"))
    with project.running("celery -A internal.celery_app beat -l INFO") as log:
        yield log


def test_the_workers_command_does_an_email_sent_from_another_process(
    project: Project, beat: Path
) -> None:
    with project.running("celery -A internal.celery_app worker -l INFO"):
        assert project.ask("send_and_wait") is True


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_flowers_command_shows_the_workers(project: Project) -> None:
    pytest.importorskip("flower")
    port = free_port()
    settings = {"FLOWER_PORT": str(port), "FLOWER_ADDRESS": "127.0.0.1"}
    settings["FLOWER_UNAUTHENTICATED_API"] = "1"
    with project.running("celery -A internal.celery_app flower", **settings):
        until(lambda: status(f"http://127.0.0.1:{port}/healthcheck") == 200)


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
        project.ask("delay", 0, task_id="native-1", serializer="pickle")
        assert project.ended(project.enqueue("sleep"))["state"] == "succeeded"
        assert "ContentDisallowed" in worker.log.read_text()


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_a_job_may_wait_longer_than_a_broker_keeps_a_message(project: Project) -> None:
    job_id = project.ask("delay", 0, countdown=31_000_000)
    assert project.job(job_id)["state"] == "queued"
    assert project.ask("waiting") == 0


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_the_beat_command_fires_what_is_scheduled(project: Project, beat: Path) -> None:
    with project.worker():
        until(lambda: "Sending due task cleanup" in beat.read_text(), timeout=75)
        job_id = until(lambda: project.ask("jobs_of", "cleanup"))[0]
        assert re.fullmatch(r"cleanup-\d{8}T\d{4}", job_id)
        assert project.ended(job_id)["state"] == "succeeded"
        for role in ("worker", "beat"):
            until(partial(seen_alive, project, role))


def seen_alive(project: Project, role: str) -> bool:
    check = [sys.executable, "-m", "internal.runner.celery_check", role]
    ended = subprocess.run(check, check=False, cwd=project.folder, env=project.environment)
    return ended.returncode == 0
