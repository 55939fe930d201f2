"""The worker, and its connection to the server."""

import asyncio
import dataclasses
import os
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from api.main import app
from internal import workers
from internal.config import Settings, get_settings
from internal.runner import client as jobs
from internal.runner import native, supervisor
from internal.runner.connection import connect, connection
from internal.runner.health import Health
from internal.runner.interceptor import ActivityInterceptor
from internal.runner.worker import build_workers, check_native
from internal.workers.main import main
from tests.conftest import free_port
from tests.runner import until


def check(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Check the worker, without a log: it would be written to a stream that ends with the test."""
    monkeypatch.setattr(supervisor, "configure_logging", lambda _settings: None)
    monkeypatch.setattr(sys, "argv", ["worker", "--check", *arguments])
    return main()


def test_the_worker_is_checked_without_a_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(monkeypatch) == 0
    assert capsys.readouterr().out == "The worker is complete.\n"


def test_a_queue_that_no_worker_takes_is_named_by_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(monkeypatch, "--queues", "another") == 1
    said = capsys.readouterr().err
    assert "--queues names the queue 'another', to which no job is enqueued." in said
    assert "is enqueued to the queue 'default', which no worker takes." in said


def test_an_activity_that_is_called_but_not_defined_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hasty.py").write_text(
        "from temporalio import workflow\n"
        "NAME = 'count_lines'\n"
        "@workflow.defn\n"
        "class Hasty:\n"
        "    @workflow.run\n"
        "    async def run(self) -> None:\n"
        "        await workflow.execute_activity('send_email_activity')\n"
        "        await workflow.execute_activity('send_emial_activity')\n"
        "        await workflow.execute_local_activity(activity=NAME)\n"
        "        await workflow.execute_activity('of_another_team', task_queue='theirs')\n"
    )
    monkeypatch.setattr(workers, "__path__", [*workers.__path__, str(tmp_path)])
    misspelt, counted = native.undefined_activities()
    assert misspelt.startswith("internal/workers/hasty.py:8: the activity 'send_emial_activity'")
    assert counted.startswith("internal/workers/hasty.py:9: the activity 'count_lines' is called")


async def test_an_import_that_is_not_passed_through_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "careless.py").write_text(
        "from temporalio import workflow\n"
        "import internal.services.email\n"
        "@workflow.defn\n"
        "class Careless:\n"
        "    @workflow.run\n"
        "    async def run(self) -> None: ...\n"
    )
    # A file beside those of internal/workers is found like them.
    monkeypatch.setattr(workers, "__path__", [*workers.__path__, str(tmp_path)])
    native.native_workflows.cache_clear()
    problem = await check_native()
    native.native_workflows.cache_clear()
    assert problem is not None
    assert "Careless" in problem
    assert "internal" in problem


class Endless(ActivityInboundInterceptor):
    def __init__(self) -> None: ...

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        await asyncio.sleep(60)


async def test_an_attempt_at_a_native_activity_ends_before_the_server_starts_the_next() -> None:
    environment = ActivityEnvironment()
    limit = timedelta(seconds=0.1)
    environment.info = dataclasses.replace(environment.info, start_to_close_timeout=limit)
    attempt = ActivityInterceptor().intercept_activity(Endless())
    anything = ExecuteActivityInput(fn=main, args=(), executor=None, headers={})
    with pytest.raises(TimeoutError):
        await environment.run(attempt.execute_activity, anything)


async def test_the_worker_waits_for_its_server_and_ends_when_it_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{free_port()}")
    stop = asyncio.Event()
    working = asyncio.create_task(supervisor.work(get_settings(), stop))

    async def waits() -> bool:
        return "no work from Temporal, again in 0.25 s" in caplog.text

    await until(waits)
    assert not working.done()
    stop.set()
    await asyncio.wait_for(working, 5)


async def test_the_worker_is_ready_while_the_server_sees_it_poll_each_queue(
    temporal: Client, own_queue: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("internal.runner.health.FIRST_INTERVAL", 0.05)
    health, port = Health(), free_port()
    settings = own_queue.model_copy(update={"worker_queues": frozenset({"default", "slow"})})
    first, second = build_workers(temporal, settings)
    async with health.serve(port), httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:

        async def ready() -> bool:
            return (await http.get("/readyz")).is_success

        assert (await http.get("/livez")).is_success
        async with first, health.watch([first, second]):
            await asyncio.sleep(0.2)
            assert not await ready()
            async with second:
                await until(ready)
        assert not await ready()


async def test_without_its_database_the_worker_is_not_ready_but_needs_no_restart(
    temporal: Client, own_queue: Settings, absent_database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("internal.runner.health.FIRST_INTERVAL", 0.05)
    health, port = Health(), free_port()
    [worker] = build_workers(
        temporal, own_queue.model_copy(update={"worker_queues": frozenset({"default"})})
    )
    async with (
        health.serve(port),
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
        worker,
        health.watch([worker]),
    ):

        async def lacks_its_database() -> bool:
            answer = await http.get("/readyz")
            return answer.status_code == 503 and "The database is not available" in answer.text

        await until(lacks_its_database)
        assert (await http.get("/livez")).is_success


async def test_a_worker_takes_only_the_queues_that_it_is_given(
    temporal: Client, own_queue: Settings
) -> None:
    settings = own_queue.model_copy(update={"worker_queues": frozenset({"slow"})})
    async with AsyncExitStack() as running:
        [worker] = build_workers(temporal, settings)
        await running.enter_async_context(worker)
        assert worker.task_queue == f"{own_queue.temporal_task_queue}_slow"


@pytest.mark.parametrize("missing", ["server", "namespace"])
async def test_without_its_engine_the_api_says_when_to_come_back(
    engine: None, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "server":
        monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{free_port()}")
    else:
        monkeypatch.setenv("TEMPORAL_NAMESPACE", "missing")
    monkeypatch.setattr(jobs, "_client", await connect(Settings(), lazy=True))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api") as api:
        for path in ("/readyz", "/jobs/email-1", "/jobs?state=failed"):
            answer = await api.get(path)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert (await api.get("/livez")).status_code == 200


def test_the_variables_of_temporals_clients_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TEMPORAL_ADDRESS", raising=False)
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("TEMPORAL_API_KEY", "")
    local = {"target_host": "127.0.0.1:7233", "namespace": "default"}
    assert connection(Settings()) == local

    Path(".env").write_text("TEMPORAL_ADDRESS=cloud.example:7233\nTEMPORAL_API_KEY=secret\n")
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "orders")
    assert connection(Settings()) == {
        "target_host": "cloud.example:7233",
        "namespace": "orders",
        "api_key": "secret",
        "tls": True,
    }
