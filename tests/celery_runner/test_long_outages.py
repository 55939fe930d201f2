"""Whatever Redis or RabbitMQ do, every job that was accepted runs once, by the same worker."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.kit.brokers import RabbitMQ, Redis, Server, redis_and_broker
from tests.kit.celery_project import Project, Worker, generate
from tests.kit.cutter import Cutter

pytestmark = pytest.mark.slow

JOBS = 5
"""How many jobs there are of each sort in an outage."""

AFTERWARDS = 60.0
"""Seconds within which all is done after an outage; the sweep needs about 15 of them."""


@dataclass
class Stack:
    """A project, its servers and its worker."""

    project: Project
    worker: Worker

    def outage(self, name: str, seconds: float, outage: "Outage") -> list[int]:
        """Let jobs run, wait and be enqueued in an outage, and require that each runs once.

        Returns the status codes of what was enqueued meanwhile.
        """
        project = self.project
        running = [
            project.enqueue("sleep", key=f"{name}-run-{number}", seconds=3)
            for number in range(JOBS)
        ]
        for job_id in running:
            project.started(job_id)
        keys = [f"{name}-post-{number}" for number in range(JOBS)]
        outage.begin()
        over = threading.Timer(seconds, outage.end)
        over.start()
        statuses: list[int] = project.ask("post_all", "sleep", keys)
        over.join()
        self.all_accepted(keys)
        self.require_once([*running, *(f"sleep-{key}" for key in keys)])
        return statuses

    def all_accepted(self, keys: Sequence[str]) -> None:
        """Enqueue jobs under their keys until each was accepted."""
        left = list(keys)
        end = time.monotonic() + AFTERWARDS
        while left:
            assert time.monotonic() < end, left
            statuses = self.project.ask("post_all", "sleep", left)
            assert set(statuses) <= {202, 503}
            left = [key for key, status in zip(left, statuses, strict=True) if status == 503]

    def require_once(self, ids: Sequence[str]) -> None:
        """Wait until jobs have ended; each must have been started and ended once."""
        states = {job_id: self.project.ended(job_id, AFTERWARDS)["state"] for job_id in ids}
        assert states == dict.fromkeys(ids, "succeeded")
        assert {job_id: len(self.project.runs(job_id)) for job_id in ids} == dict.fromkeys(ids, 1)
        assert self.worker.process.poll() is None


@contextmanager
def stack_of(kind: type[Server], folder: Path) -> Iterator[Stack]:
    if kind.missing():
        pytest.skip(str(kind.missing()))
    with ExitStack() as opened:
        redis, broker = opened.enter_context(redis_and_broker(kind, folder))
        project = generate(folder / "sample", broker, redis)
        opened.callback(project.close_console)
        stack = Stack(project, project.start_worker())
        opened.callback(lambda: stack.worker.stop())
        yield stack


class Outage(NamedTuple):
    """How servers are taken away, and brought back."""

    begin: Callable[[], None]
    end: Callable[[], None]


def frozen(*servers: Server) -> Outage:
    def send(number: signal.Signals) -> None:
        for server in servers:
            server.signal(number)

    return Outage(lambda: send(signal.SIGSTOP), lambda: send(signal.SIGCONT))


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Stack]]:
    folder = tmp_path_factory.mktemp("stacks")
    with ExitStack() as opened:
        yield [
            opened.enter_context(stack_of(kind, folder / kind.name)) for kind in (Redis, RabbitMQ)
        ]


def on_each(stacks: Sequence[Stack], test: Callable[[Stack], None]) -> None:
    """Test all at once: nearly all of it is waiting."""
    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(test, stack) for stack in stacks]:
            done.result()


def test_a_server_that_is_frozen(stacks: list[Stack]) -> None:
    def test(stack: Stack) -> None:
        broker, redis = stack.project.broker, stack.project.redis
        for seconds, servers in (
            (4, {broker}), (10, {redis}), (30, {redis, broker}), (120, {broker}),
        ):  # fmt: skip
            statuses = stack.outage(f"{seconds}", seconds, frozen(*servers))
            assert set(statuses) <= {202, 503}

    on_each(stacks, test)


def test_a_server_that_is_restarted(stacks: list[Stack]) -> None:
    def test(stack: Stack) -> None:
        for server in {stack.project.broker, stack.project.redis}:
            stack.outage(f"restart-{server.name}", 3, Outage(server.kill, server.start))

    on_each(stacks, test)


def test_a_server_that_refuses_for_lack_of_memory(stacks: list[Stack]) -> None:
    def test(stack: Stack) -> None:
        for server in {stack.project.broker, stack.project.redis}:
            refused = Outage(server.refuse, server.accept)
            assert set(stack.outage(f"refuse-{server.name}", 10, refused)) == {503}

    on_each(stacks, test)


def test_connections_that_are_cut_in_the_middle_of_an_answer(stacks: list[Stack]) -> None:
    def test(stack: Stack) -> None:
        with proxied(stack) as cutters:
            for cutter in cutters:
                cutter.cutting = True
            keys = [f"cut-{number}" for number in range(100)]
            for first in range(0, len(keys), 20):
                stack.all_accepted(keys[first : first + 20])
            for cutter in cutters:
                cutter.cutting = False
            assert all(cutter.cuts for cutter in cutters)
            stack.require_once([f"sleep-{key}" for key in keys])

    on_each(stacks, test)


@contextmanager
def proxied(stack: Stack) -> Iterator[list[Cutter]]:
    """Put a proxy before the broker, and one before the records, and start the worker again."""
    project = stack.project
    names = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")
    before = dict(project.environment)
    project.close_console()
    stack.worker.stop()
    cutters = []
    try:
        with ExitStack() as opened:
            for name, server in zip(names, (project.broker, project.redis), strict=True):
                cutter = opened.enter_context(Cutter(server.port))
                project.environment[name] = before[name].replace(
                    f":{server.port}", f":{cutter.port}"
                )
                cutters.append(cutter)
            stack.worker = opened.enter_context(project.worker())
            yield cutters
    finally:
        project.close_console()
        project.environment = before
        stack.worker = project.start_worker()


def test_after_the_store_was_lost_the_worker_goes_on(stacks: list[Stack]) -> None:
    def test(stack: Stack) -> None:
        project = stack.project
        lost = project.enqueue("sleep", key="lost")
        stack.require_once([lost])
        for server in {project.broker, project.redis}:
            server.empty()
        stack.all_accepted(["new-1", "new-2"])
        stack.require_once(["sleep-new-1", "sleep-new-2"])
        # It was forgotten, so its key is a new one.
        stack.all_accepted(["lost"])
        assert project.ended(lost)["state"] == "succeeded"
        assert len(project.runs(lost)) == 2

    on_each(stacks, test)
