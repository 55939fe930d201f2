"""Jobs that are enqueued in a transaction, by the same tests whichever task runner does them."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from internal.database import transaction
from internal.models.contacts import Contact
from internal.models.outbox import OutboxJob
from internal.runner import KeyReused, enqueue, enqueue_many, outbox
from tests.api import post, until, wait
from tests.jobs.promises import Add, Keep


class Undone(Exception):
    """What ends a transaction without a commit."""


@pytest.fixture
def dies_after_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody hand over what is committed, as if the process were gone by then."""
    monkeypatch.setattr(outbox, "_relays", [])


def commit(
    *jobs: Add | Keep, key: str | None = None, at: datetime | None = None, undo: bool = False
) -> list[str]:
    """Enqueue jobs in a transaction, with a contact, and return their ids and its address."""
    email = f"{uuid4().hex}@example.com"

    async def run() -> list[str]:
        ids = []
        try:
            async with transaction() as session:
                session.add(Contact(email=email, name="Ada"))
                for job in jobs:
                    ids.append((await enqueue(job, key=key, at=at, session=session)).id)
                if undo:
                    raise Undone
        except Undone:
            pass
        async with transaction(read_only=True) as session:
            assert (await session.get(Contact, email) is None) == undo
        return ids

    return asyncio.run(run())


def row_of(job_id: str) -> OutboxJob | None:
    async def get() -> OutboxJob | None:
        async with transaction(read_only=True) as session:
            return await session.get(OutboxJob, job_id)

    return asyncio.run(get())


def test_a_job_is_run_after_the_commit(client: TestClient) -> None:
    [job_id] = commit(Add(numbers=[1, 2]))
    assert wait(client, job_id)["result"] == {"total": 3}
    until(lambda: row_of(job_id) is None)


def test_a_job_does_not_exist_without_the_commit(client: TestClient) -> None:
    [job_id] = commit(Add(), undo=True)
    assert client.get(f"/jobs/{job_id}").status_code == 404
    assert row_of(job_id) is None


def test_a_job_of_a_savepoint_that_was_undone_does_not_exist(client: TestClient) -> None:
    async def run() -> tuple[str, str]:
        async with transaction() as session:
            try:
                async with session.begin_nested():
                    [undone] = await enqueue_many([Add()], session=session)
                    raise Undone
            except Undone:
                pass
            async with session.begin_nested():
                kept = await enqueue(Add(), session=session)
            assert client.get(f"/jobs/{kept.id}").status_code == 404
        return undone.id, kept.id

    undone, kept = asyncio.run(run())
    assert wait(client, kept)["state"] == "succeeded"
    assert client.get(f"/jobs/{undone}").status_code == 404


def test_a_job_is_found_after_a_crash_between_the_commit_and_the_engine(
    client: TestClient, dies_after_commits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "GRACE", -1.0)
    [job_id] = commit(Add(numbers=[4]))
    assert wait(client, job_id)["result"] == {"total": 4}
    until(lambda: row_of(job_id) is None)


def test_a_job_that_the_engine_does_not_have_yet_is_queued_and_can_be_cancelled(
    client: TestClient, dies_after_commits: None
) -> None:
    [job_id] = commit(Add(), at=datetime.now(UTC) + timedelta(days=365))
    job = client.get(f"/jobs/{job_id}").json()
    assert (job["id"], job["kind"], job["state"]) == (job_id, "test-add", "queued")
    assert row_of(job_id)
    assert client.post(f"/jobs/{job_id}/cancel").status_code == 202
    assert wait(client, job_id)["state"] == "cancelled"


async def test_relays_that_failed_together_do_not_come_back_together(
    absent_database: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def pauses() -> list[str]:
        return re.findall(r"jobs wait in the outbox: .*; again in (.+) s", caplog.text)

    monkeypatch.setattr(outbox, "INTERVAL", 30.0)
    relays = [outbox.Relay(enqueue) for _ in range(5)]
    async with asyncio.TaskGroup() as working:
        for relay in relays:
            working.create_task(relay.work())
            relay.notify(["test-add-unknown"])
        await asyncio.to_thread(until, lambda: len(pauses()) >= len(relays))
        for relay in relays:
            relay.end()
    assert len(set(pauses())) > 1


def test_the_same_key_gives_one_job(client: TestClient) -> None:
    key = uuid4().hex
    job_id = post(client, "test-add", {"numbers": [1]}, key)
    assert commit(Add(numbers=[1]), Add(numbers=[1]), key=key) == [job_id, job_id]
    assert wait(client, job_id)["result"] == {"total": 1}
    with pytest.raises(KeyReused):
        commit(Keep(data={"a": 1}), Keep(data={"a": 2}), key=key)


def test_a_job_that_cannot_run_keeps_its_row_and_no_other_job_waits_for_it(
    client: TestClient,
) -> None:
    key = uuid4().hex
    job_id = post(client, "test-add", {"numbers": [1]}, key)
    wait(client, job_id)
    commit(Add(numbers=[2]), key=key)
    until(lambda: (row := row_of(job_id)) and row.error)
    row = row_of(job_id)
    assert row
    assert row.due is None
    assert "was enqueued with another input" in str(row.error)
    [other] = commit(Add())
    assert wait(client, other)["state"] == "succeeded"
