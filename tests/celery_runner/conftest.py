"""Fixtures: real brokers, and a generated project on each."""

from collections.abc import Iterator
from typing import TypeVar

import pytest

from tests.kit.brokers import RabbitMQ, Redis, Server
from tests.kit.celery_project import Project, generate

S = TypeVar("S", bound=Server)


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    yield from _running(Redis, tmp_path_factory)


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    yield from _running(RabbitMQ, tmp_path_factory)


def _running(kind: type[S], tmp_path_factory: pytest.TempPathFactory) -> Iterator[S]:
    if kind.missing():
        pytest.skip(str(kind.missing()))
    server = kind(tmp_path_factory.mktemp("server") / "data")
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session", params=["redis", "rabbitmq"])
def project(
    request: pytest.FixtureRequest,
    redis: Redis,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Project]:
    broker: Server = redis if request.param == "redis" else request.getfixturevalue("rabbitmq")
    project = generate(tmp_path_factory.mktemp(request.param) / "sample", broker, redis)
    yield project
    project.close_console()
