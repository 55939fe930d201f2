"""The commands of the guide, as they are written there."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.kit.celery_project import Project, Refused
from tests.kit.ports import free_port
from tests.kit.repository import IN_PROJECT
from tests.kit.waiting import until
from tests.kit.web import status

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def beat(project: Project) -> Iterator[Path]:
    """Run the scheduler while the other commands are tried: it has a minute to fire."""
    command = "celery -A internal.celery_app beat -l INFO"
    with project.running(command, CLEANUP_SCHEDULE="* * * * *") as log:
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
def test_a_worker_does_not_start_with_an_invalid_schedule_or_time_limit(project: Project) -> None:
    shutil.copy(IN_PROJECT / "celery_misconfigured.py", project.folder / "misconfigured.py")
    worker, log = project.popen("celery -A internal.celery_app worker -l INFO -I misconfigured")
    assert worker.wait(30) != 0
    assert "The schedule names no.such.task, which is no task." in log.read_text()
    assert "misconfigured.endless may run for 100000 s" in log.read_text()


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_a_message_in_pickle_is_refused_and_the_worker_goes_on(project: Project) -> None:
    with project.worker():
        project.enqueue("sleep", 0, task_id="sleep-pickle", serializer="pickle")
        assert project.ended(project.enqueue("sleep", 0))["state"] == "succeeded"


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_a_job_that_is_due_too_far_ahead_is_refused(project: Project) -> None:
    with pytest.raises(Refused, match="ValueError: A job may be sent 10800 s ahead"):
        project.enqueue("sleep", 0, countdown=86_400)


@pytest.mark.parametrize("project", ["redis"], indirect=True)
def test_the_beat_command_fires_what_is_scheduled(project: Project, beat: Path) -> None:
    with project.worker():
        until(lambda: "Sending due task cleanup" in beat.read_text(), timeout=75)
        job_id = until(lambda: project.ask("jobs_named", "cleanup-*"))[0]
        assert re.fullmatch(r"cleanup-\d{8}T\d{4}", job_id)
        assert project.ended(job_id)["state"] == "succeeded"
        for role in ("worker", "beat"):
            until(partial(seen_alive, project, role))


def seen_alive(project: Project, role: str) -> bool:
    check = [sys.executable, "-m", "internal.celery_check", role]
    ended = subprocess.run(check, check=False, cwd=project.folder, env=project.environment)
    return ended.returncode == 0
