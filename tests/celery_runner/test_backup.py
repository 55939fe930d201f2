"""A backup of Redis, RabbitMQ and the records holds all that they had answered for."""

import shutil
from pathlib import Path

import pytest

from tests.kit import volumes
from tests.kit.brokers import RabbitMQ, Redis
from tests.kit.celery_project import generate

pytestmark = pytest.mark.slow


def test_after_a_restore_what_was_done_is_known_and_what_waited_is_done(tmp_path: Path) -> None:
    if missing := RabbitMQ.missing() or Redis.missing():
        pytest.skip(missing)
    folders = tmp_path / "volumes"
    redis, rabbitmq = servers = Redis(folders / "redis"), RabbitMQ(folders / "rabbitmq")
    project = generate(tmp_path / "sample", rabbitmq, redis)
    shutil.move(project.folder / "data", folders / "data")
    (project.folder / "data").symlink_to(folders / "data")
    try:
        for server in servers:
            server.start()
        with project.worker():
            done = project.enqueue("sleep", key="done")
            assert project.ended(done)["state"] == "succeeded"
        waiting = [project.enqueue("sleep", key=str(number)) for number in range(5)]
        messages = project.ask("waiting")
        project.close_console()
        for server in servers:
            server.stop()
        volumes.call("deploy/backup.sh backups/monday", project.folder, folders)
        for folder in folders.iterdir():
            shutil.rmtree(folder)
        volumes.call("deploy/restore.sh backups/monday", project.folder, folders)
        for server in servers:
            server.start()
        assert project.ask("waiting") == messages == len(waiting)
        assert project.job(done)["state"] == "succeeded"
        with project.worker():
            assert [project.ended(job_id)["state"] for job_id in waiting] == ["succeeded"] * 5
        assert [len(project.runs(job_id)) for job_id in (done, *waiting)] == [1] * 6
    finally:
        project.close_console()
        for server in servers:
            server.close()
