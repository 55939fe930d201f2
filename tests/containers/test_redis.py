"""The configuration that compose.yaml gives Redis, tried with the real server."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from tests.kit import brokers
from tests.kit.ports import free_port, listens
from tests.kit.processes import stop
from tests.kit.projects import Render
from tests.kit.waiting import until

PASSWORD = "a-password-of-the-tests"


@pytest.fixture
def port(render: Render, tmp_path: Path) -> Iterator[int]:
    """The port of a server that runs with it."""
    program = brokers.Redis.program()
    if program is None:
        pytest.skip(str(brokers.Redis.missing()))
    compose = yaml.safe_load((render({"task_runner": "celery"}) / "compose.yaml").read_text())
    variable = "${REDIS_PASSWORD:?sh deploy/passwords.sh writes one into .env}"
    assert variable in compose["configs"]["redis"]["content"]
    configuration = tmp_path / "redis.conf"
    configuration.write_text(compose["configs"]["redis"]["content"].replace(variable, PASSWORD))
    port = free_port()
    server = subprocess.Popen(
        [program, configuration, "--bind", "127.0.0.1", "--port", str(port)],
        cwd=tmp_path, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    until(lambda: listens(port))
    yield port
    stop(server)


def test_whoever_does_not_know_the_password_can_do_nothing(port: int) -> None:
    for password in (None, "another", ""):
        # By itself, the client would ask again ten times.
        with Redis(port=port, password=password, retry=Retry(NoBackoff(), 0)) as client:
            for command in ("PING", "KEYS *", "CONFIG GET requirepass", "FLUSHALL", "SHUTDOWN"):
                with pytest.raises(AuthenticationError):
                    client.execute_command(*command.split())
    with Redis(port=port, password=PASSWORD, decode_responses=True) as client:
        assert client.ping()
        assert client.config_get("append*")["appendonly"] == "yes"
        assert client.config_get("append*")["appendfsync"] == "everysec"
        assert client.config_get("save")["save"] == ""
