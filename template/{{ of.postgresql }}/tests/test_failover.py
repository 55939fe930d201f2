"""The server ends connections, refuses them, or is replaced, while the API and jobs use it."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from internal.config import Settings, get_settings
from internal.database import DatabaseUnavailable, transaction
from internal.services import email
from tests.api import post, until, wait
from tests.database import Databases


def test_a_job_waits_for_its_database_and_no_attempt_is_used_up(
    client: TestClient, databases: Databases
) -> None:
    with databases.outage(str(get_settings().database_url)):
        until(lambda: client.get("/readyz").status_code == 503)
        job_id = post(client, "test-store", {})
        waiting = wait(client, job_id, until=lambda job: bool(job["error"]))
        assert waiting["state"] not in ("failed", "cancelled")
        assert waiting["error"].startswith("DatabaseUnavailable: ")
    assert wait(client, job_id)["result"] == 1
    assert client.get("/readyz").status_code == 200


def test_connections_that_end_in_the_middle_of_requests_are_made_anew(
    client: TestClient, databases: Databases
) -> None:
    def ask(_: int) -> int:
        return client.get("/jobs/email-unknown").status_code

    with ThreadPoolExecutor(4) as threads:
        asking = threads.map(ask, range(200))
        for _ in range(5):
            databases.disconnect(str(get_settings().database_url))
        assert set(asking) <= {404, 503}
    assert client.get("/jobs/email-unknown").status_code == 404


async def test_a_transaction_whose_connection_ends_is_undone(
    settings: Settings, databases: Databases
) -> None:
    async def insert() -> None:
        async with transaction(settings) as session:
            await session.execute(text("INSERT INTO contacts VALUES ('a@example.com', 'A')"))
            await asyncio.to_thread(databases.disconnect, str(settings.database_url))
            await session.execute(text("SELECT 1"))

    with pytest.raises(DatabaseUnavailable):
        await insert()
    async with transaction(settings) as session:
        assert await session.scalar(text("SELECT count(*) FROM contacts")) == 0


async def test_an_email_that_was_accepted_before_an_outage_is_recorded_after_it(
    settings: Settings, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage = databases.outage(str(settings.database_url))
    write, loop, sent = email._write, asyncio.get_running_loop(), 0

    def write_as_the_database_goes(message: EmailMessage, path: Path) -> None:
        nonlocal sent
        sent += 1
        write(message, path)
        going = threading.Thread(target=outage.__enter__)
        going.start()
        going.join()
        loop.call_later(0.2, threading.Thread(target=outage.__exit__, args=(None,) * 3).start)

    monkeypatch.setattr(email, "_write", write_as_the_database_goes)
    monkeypatch.setattr(email, "RECORD_PAUSES", (0.1,) * 100)
    for _ in range(2):
        await email.send_email("a@example.com", "Hi", "", key="k", settings=settings)
    assert sent == 1


async def test_a_server_that_takes_no_changes_any_more_is_left(settings: Settings) -> None:
    change = text("INSERT INTO contacts VALUES ('a@example.com', 'A')")
    async with transaction(settings) as session:
        await session.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        async with transaction(settings) as session:
            await session.execute(change)
    async with transaction(settings) as session:
        await session.execute(change)


async def test_no_more_connections_are_open_than_are_allowed(settings: Settings) -> None:
    few = settings.model_copy(update={"database_pool_size": 2})
    count = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")

    async def connections() -> int:
        async with transaction(few) as session:
            await session.execute(text("SELECT pg_sleep(0.02)"))
            return int(await session.scalar(count) or 0)

    assert max(await asyncio.gather(*(connections() for _ in range(8)))) == 2
