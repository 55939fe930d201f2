"""What becomes of jobs when processes are killed, stopped and started again."""

import asyncio
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from tests.kit.repository import IN_PROJECT
from tests.kit.waiting import until_async
from tests.temporal.conftest import QUEUE, Stack, report

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]

HEARTBEAT_TIMEOUT = 15.0
"""What `internal/runner/workflow.py` sets."""


async def send(stack: Stack, number: int, pause: float = 0) -> list[WorkflowHandle[Any, Any]]:
    """Enqueue so many e-mails, with a pause after each."""
    jobs = []
    for index in range(number):
        job = await stack.client.start_workflow(
            "email",
            {"to": f"{index}@example.com", "subject": "Hello"},
            id=f"email-{index}",
            task_queue=QUEUE,
        )
        jobs.append(job)
        await asyncio.sleep(pause)
    return jobs


async def start_import(stack: Stack, rows: int) -> WorkflowHandle[Any, Any]:
    return await stack.client.start_workflow(
        "import", {"file": stack.contacts_file(rows)}, id="import-1", task_queue=QUEUE
    )


async def test_a_killed_workers_import_goes_on_elsewhere_and_no_row_is_done_twice(
    stack: Stack,
) -> None:
    rows = 100_000
    first = await stack.start_worker()
    # The worker is at work.
    await (await send(stack, 1))[0].result()
    # Every write of a contact is noted, with its time.
    stack.database("CREATE TABLE writes (email TEXT, at REAL)")
    for event in ("INSERT", "UPDATE"):
        stack.database(
            f"CREATE TRIGGER {event}_noted AFTER {event} ON contacts BEGIN"
            " INSERT INTO writes VALUES (new.email, (julianday('now') - 2440587.5) * 86400); END"
        )
    job = await start_import(stack, rows)
    await until_async(lambda: stack.database("SELECT count(*) FROM writes")[0][0] > rows // 3)
    await first.stop(signal.SIGKILL)
    killed = time.time()
    [(before,)] = stack.database("SELECT count(*) FROM writes")
    await stack.start_worker()

    assert await job.result() == {"rows": rows}
    writes = Counter(email for (email,) in stack.database("SELECT email FROM writes"))
    [(resumed,)] = stack.database(f"SELECT min(at) FROM writes WHERE at > {killed}")
    assert isinstance(resumed, float)
    report(rows_before_the_kill=before, resumed_after_seconds=f"{resumed - killed:.1f}")
    assert len(writes) == rows
    assert set(writes.values()) == {1}
    assert resumed - killed < HEARTBEAT_TIMEOUT + 3


async def test_every_email_is_delivered_while_workers_are_killed(stack: Stack) -> None:
    number, kills = 200, 10
    dice = random.Random(7)
    workers = [await stack.start_worker() for _ in range(2)]
    stack.mailbox.pause = 0.1
    # A worker is killed every second or so while they come in, with some of them under way.
    sending = asyncio.create_task(send(stack, number, pause=0.05))
    for kill in range(kills):
        await asyncio.sleep(dice.uniform(0.5, 1.5))
        await workers[kill % 2].stop(signal.SIGKILL)
        workers[kill % 2] = stack.start("internal.workers.main")
    start = time.monotonic()
    results = await asyncio.gather(*(job.result() for job in await sending))

    delivered, ids = stack.mailbox.by_recipient, stack.mailbox.by_message_id
    report(
        emails=number,
        kills=kills,
        messages=delivered.total(),
        message_ids=len(ids),
        repeated_with_their_message_id=delivered.total() - len(ids),
        seconds_after_the_last_kill=f"{time.monotonic() - start:.1f}",
    )
    assert results == [True] * number
    assert len(delivered) == number
    # A kill between the server's acceptance and the record of it repeats that very message.
    assert len(ids) == number
    assert set(delivered.values()) <= {1, 2, 3}


async def test_a_rolling_restart_under_load_fails_nothing_and_repeats_nothing(
    stack: Stack,
) -> None:
    number, restarts = 100, 3
    workers = [await stack.start_worker() for _ in range(2)]
    stack.mailbox.pause = 0.2
    contacts = await start_import(stack, rows=3_000)
    sending = asyncio.create_task(send(stack, number))
    codes = []
    for restart in range(restarts):
        new = await stack.start_worker()
        codes.append(await workers[restart % 2].stop())
        workers[restart % 2] = new
    results = await asyncio.gather(*(job.result() for job in await sending))

    report(restarts=restarts, exit_codes=codes, messages=stack.mailbox.by_recipient.total())
    assert codes == [0] * restarts
    assert results == [True] * number
    assert set(stack.mailbox.by_recipient.values()) == {1}
    assert await contacts.result() == {"rows": 3_000}
    history = await contacts.fetch_history()
    assert not [event for event in history.events if "FAILED" in str(event.event_type)]


async def test_the_worker_ends_with_0_at_every_sigterm(stack: Stack) -> None:
    dice = random.Random(7)
    times: list[float] = []

    async def live_and_stop(number: int) -> int:
        worker = stack.start("internal.workers.main")
        if number % 5:
            await worker.says("working on")
        else:
            # Some get the signal while they start.
            await asyncio.sleep(dice.uniform(0.3, 1.5))
        await asyncio.sleep(dice.uniform(0, 0.1))
        start = time.monotonic()
        code = await worker.stop(dice.choice([signal.SIGTERM, signal.SIGINT]))
        times.append(time.monotonic() - start)
        return code

    sending = asyncio.create_task(send(stack, 400))
    codes: list[int] = []
    for _ in range(10):
        codes += await asyncio.gather(live_and_stop(len(codes)), live_and_stop(len(codes) + 1))
    sending.cancel()
    report(exit_codes=dict(Counter(codes)), slowest_stop_in_seconds=f"{max(times):.2f}")
    assert codes == [0] * 20


async def test_a_server_that_comes_back_has_lost_nothing(stack: Stack) -> None:
    number, away = 200, 20.0
    stack.mailbox.pause = 0.5
    jobs = await send(stack, number)
    worker = await stack.start_worker()
    await until_async(lambda: stack.mailbox.by_recipient.total() > 5)
    await stack.processes[0].stop()
    await asyncio.sleep(away)
    before = stack.mailbox.by_recipient.total()

    await stack.start_engine()
    start = time.monotonic()
    await until_async(lambda: stack.mailbox.by_recipient.total() > before)
    working = time.monotonic() - start
    for job in jobs:
        assert await stack.client.get_workflow_handle(job.id).result()
    report(
        emails=number,
        delivered_before_the_server_came_back=before,
        working_again_after_seconds=f"{working:.1f}",
        all_done_after_seconds=f"{time.monotonic() - start:.1f}",
        messages=stack.mailbox.by_recipient.total(),
    )
    assert len(stack.mailbox.by_recipient) == len(stack.mailbox.by_message_id) == number
    # A second on an idle machine, several on a busy one.
    assert working < 15
    assert worker.log.count("no answer from Temporal") == 1
    assert await worker.stop() == 0


async def test_every_step_of_every_workflow_is_done_while_workers_are_killed(
    stack: Stack, tmp_path: Path
) -> None:
    number, kills = 30, 10
    dice = random.Random(7)
    stack.project = shutil.copytree(stack.project, tmp_path / "project")
    shutil.copy(IN_PROJECT / "temporal_story.py", stack.project / "internal/jobs/story.py")
    workers = [await stack.start_worker() for _ in range(2)]
    folder = stack.folder / "data/story"

    async def in_a_step() -> int:
        """Wait until a worker is in the middle of a step, and return which one."""
        found: list[int] = []

        def look() -> bool:
            begun = {path.read_text().rpartition("begun ")[2] for path in folder.glob("*")}
            found[:] = [n for n, worker in enumerate(workers) if f"{worker.pid}\n" in begun]
            return bool(found)

        await until_async(look)
        return dice.choice(found)

    jobs = []
    for index in range(number):
        jobs.append(
            await stack.client.start_workflow("story", {}, id=f"story-{index}", task_queue=QUEUE)
        )
        if (index + 1) % (number // kills) == 0:
            await asyncio.sleep(dice.uniform(0.2, 1))
            victim = await in_a_step()
            await workers[victim].stop(signal.SIGKILL)
            workers[victim] = stack.start("internal.workers.main")
    results = await asyncio.gather(*(job.result() for job in jobs))

    traces = {path.name: path.read_text() for path in folder.iterdir()}
    repeated = sum(trace.count("begun") - 1 for trace in traces.values())
    report(workflows=number, kills=kills, steps=len(traces), begun_again=repeated)
    assert sorted(key for keys in results for key in keys) == sorted(traces)
    assert len(traces) == 6 * number
    assert repeated > 0
    # One that is done is not done again, but for a kill before the server knows of it.
    assert sum(trace.count("done") - 1 for trace in traces.values()) <= kills
