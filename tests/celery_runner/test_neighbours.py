"""Projects that share their servers, and workers that share a machine, do not meet."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis as Client

from tests.kit.brokers import RabbitMQ, Redis, Server, redis_and_broker
from tests.kit.celery_project import Project, generate

pytestmark = pytest.mark.slow

# "slow" is a queue of the first, which is not the second.
NAMES = ("shop", "shop-slow")

# What Celery and kombu keep for all, by the names of queues.
FOR_ALL = re.compile(r"celery_delayed_(\d+|delivery)|_kombu\.binding_deadlines|amq\..*|")


@pytest.fixture(params=[Redis, RabbitMQ], ids=["redis", "rabbitmq"])
def neighbours(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Project]]:
    """Two projects on the same servers."""
    kind: type[Server] = request.param
    if missing := kind.missing() or Redis.missing():
        pytest.skip(missing)
    with redis_and_broker(kind, tmp_path) as (redis, broker):
        projects = [generate(tmp_path / name, broker, redis, name=name) for name in NAMES]
        yield projects
        for project in projects:
            project.close_console()


def test_projects_on_the_same_servers_do_not_meet(neighbours: list[Project]) -> None:
    first, second = neighbours
    # The second of two workers on a machine is let in by RabbitMQ as well.
    with first.worker() as worker, first.worker() as beside, second.worker():
        for project in neighbours:
            project.enqueue("sleep", key="same")
            project.enqueue("aside", key="same")
            project.ask("delay", 0, task_id="same", countdown=1)
        for project in neighbours:
            for job_id in ("sleep-same", "aside-same", "same"):
                assert project.ended(job_id)["state"] == "succeeded"
                assert len(project.runs(job_id)) == 1
        assert [len(project.ask("ping")) for project in neighbours] == [2, 1]
        assert beside.process.poll() is None
        assert "CRITICAL" not in worker.log.read_text()
        own = re.compile(rf"(.*[.@])?({'|'.join(NAMES)})([.:_].*)?")
        others = [name for name in names(first) if not own.fullmatch(name)]
        assert [name for name in others if not FOR_ALL.fullmatch(name)] == []


def names(project: Project) -> set[str]:
    """Return the names of all that is in Redis, and in RabbitMQ if that is the broker."""
    found: set[str] = set()
    for number in (0, 1):
        with Client(port=project.redis.port, db=number, decode_responses=True) as client:
            found |= set(client.keys("*"))
    if isinstance(project.broker, RabbitMQ):
        for what in ("list_queues", "list_exchanges"):
            found |= set(project.broker.control("--silent", what, "name").splitlines())
    return found
