"""A project's backup and restore, on a real engine with two small services."""

import shutil
from pathlib import Path

import pytest

from tests.containers import stand_ins
from tests.containers.engine import Engine
from tests.kit.answers import Answers
from tests.kit.projects import Render

pytestmark = pytest.mark.slow

COMPOSE = """
name: sample-project
services:
  api:
    image: sample-project
    build: {context: ., network: host}
    command: [sleep, infinity]
    stop_signal: SIGKILL
    volumes: ["data:/data"]
  other:
    image: sample-project
    pull_policy: never
    profiles: [other]
    command: [sleep, infinity]
    stop_signal: SIGKILL
    volumes: ["redis:/data"]
volumes:
  data:
  redis:
"""


def test_a_restore_brings_back_every_volume_with_its_owners(
    engine: Engine, render: Render, tmp_path: Path
) -> None:
    answers: Answers = {"task_runner": "none", "docs_language": "en", "python_version": "3.12"}
    shutil.copytree(render(answers) / "deploy", tmp_path / "deploy")
    (tmp_path / "Dockerfile").write_text(f"FROM {stand_ins.BASE}\n")
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    if engine.is_private:
        stand_ins.make(engine, [])

    def sh(command: str) -> str:
        return engine.run("sh", "-ec", f"cd {tmp_path}; {command}")

    compose = "docker compose --profile other"
    try:
        sh(f"{compose} build")
        sh(f"{compose} up --detach")
        sh(f"{compose} exec -T other sh -c 'echo kept >/data/f; chown 999:999 /data/f'")
        sh("sh deploy/backup.sh backups/monday")
        assert sh(f"{compose} ps --services --status running").split() == ["api", "other"]
        sh(f"{compose} down --volumes")
        sh("sh deploy/restore.sh backups/monday")
        sh(f"{compose} up --detach")
        found = sh(f"{compose} exec -T other sh -c 'cat /data/f; stat -c %u:%g /data/f'")
        assert found.split() == ["kept", "999:999"]
    finally:
        sh(f"{compose} down --volumes")
        engine.client.images.remove("sample-project", force=True)
