"""What is true of jobs because they are Temporal workflows."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleHandle,
    WorkflowFailureError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from internal.config import Settings, get_settings
from internal.runner import (
    Definition,
    NotEnqueued,
    Policy,
    activity,
    client,
    enqueue_many,
    jobs_loop,
    schedules,
    watchdog,
    worker,
)
from internal.runner.registry import Registry
from internal.runner.schedules import schedule_id, update_schedules
from tests.api import post, wait
from tests.conftest import free_port
from tests.jobs.promises import Add, WaitAsync, note, notes
from tests.runner import until


@asynccontextmanager
async def workers(temporal: Client, settings: Settings) -> AsyncIterator[None]:
    async with AsyncExitStack() as running:
        for each in worker.build_workers(temporal, settings):
            await running.enter_async_context(each)
        yield


class Nightly(Add):
    """A job with a schedule."""

    kind = "test-add"
    policy = Policy(schedule="0 3 * * *")


def schedule(monkeypatch: pytest.MonkeyPatch, *jobs: type[Definition]) -> None:
    """Let the project have these jobs only."""
    known = Registry({job.kind: job for job in jobs}, ())
    monkeypatch.setattr(schedules, "registry", lambda: known)


def schedule_of(temporal: Client, settings: Settings) -> ScheduleHandle:
    return temporal.get_schedule_handle(schedule_id(settings, Nightly.kind))


async def test_a_workflow_that_nobody_knows_fails_at_once(temporal: Client, runner: None) -> None:
    with pytest.raises(WorkflowFailureError) as failure:
        await temporal.execute_workflow(
            "no-such-kind", {}, id=uuid4().hex, task_queue=get_settings().temporal_task_queue
        )
    assert isinstance(failure.value.cause, ApplicationError)
    assert "no job and no workflow of the kind 'no-such-kind'" in failure.value.cause.message


async def test_input_that_misfits_fails_at_once(temporal: Client, runner: None) -> None:
    with pytest.raises(WorkflowFailureError) as failure:
        await temporal.execute_workflow(
            Add.kind,
            {"numbers": "x"},
            id=uuid4().hex,
            task_queue=get_settings().temporal_task_queue,
        )
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == "ValidationError"


async def test_a_workflow_with_a_long_history_goes_on_in_a_new_run(
    temporal: Client, client: TestClient
) -> None:
    job_id = post(client, "test-steps", {"fail_once": False})
    assert wait(client, job_id)["state"] == "succeeded"
    description = await temporal.get_workflow_handle(job_id).describe()
    assert description.raw_description.workflow_execution_info.first_run_id != description.run_id
    assert notes(job_id).count("right") == 1


async def test_a_job_whose_worker_is_stopped_goes_on_with_another(
    temporal: Client, own_queue: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "GRACE", timedelta(seconds=0.1))
    monkeypatch.setattr(activity, "HEARTBEAT_INTERVAL", 0.1)
    job_id = uuid4().hex

    async def has_begun(times: int) -> None:
        async def begun() -> bool:
            return notes(job_id).count("begun") == times

        await until(begun)

    async with workers(temporal, own_queue):
        job = await temporal.start_workflow(
            WaitAsync.kind, {}, id=job_id, task_queue=own_queue.temporal_task_queue
        )
        await has_begun(1)
    async with workers(temporal, own_queue):
        # Its policy allows one attempt.
        await has_begun(2)
        await job.cancel()
        with pytest.raises(WorkflowFailureError):
            await job.result()


async def test_a_job_that_blocks_the_event_loop_is_named_and_the_others_go_on(
    temporal: Client,
    own_queue: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(watchdog, "LIMIT", 0.1)
    loop = jobs_loop.JobsLoop(threads=1)
    monkeypatch.setattr(activity, "jobs_loop", lambda: loop)
    job_id = uuid4().hex
    problem = f"test-blocking ({job_id}) blocks the event loop in tests/jobs/promises.py, line"

    async def is_named() -> bool:
        return problem in caplog.text

    async with workers(temporal, own_queue):
        queue = own_queue.temporal_task_queue
        jobs = [
            await temporal.start_workflow(kind, {}, id=name, task_queue=queue)
            for kind, name in (("test-blocking", job_id), ("test-add", uuid4().hex))
        ]
        await until(is_named)
        note(job_id, "noticed")
        assert [await job.result() for job in jobs] == [None, {"total": 3}]


async def test_the_log_has_tracebacks_of_unexpected_errors_only(
    temporal: Client, own_queue: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(kind: str, *arguments: object) -> None:
        queue = own_queue.temporal_task_queue
        with suppress(WorkflowFailureError):
            await temporal.execute_workflow(kind, args=arguments, id=uuid4().hex, task_queue=queue)

    async with workers(temporal, own_queue):
        await run("test-flaky", {"failures": 9, "permanent": True})
        await run("EmailNotificationWorkflow", "nobody@example.com", "two\nlines")
        await run("test-away", {})
        assert "test-flaky failed: PermanentError: failure 1" in caplog.text
        assert "send_email_activity failed: EmailRejected: " in caplog.text
        assert "test-away, attempt 1: Unavailable: not there" in caplog.text
        assert "Traceback" not in caplog.text
        await run("test-flaky", {"failures": 9})
        assert "test-flaky failed: OSError: failure 3" in caplog.text
        assert "Traceback" in caplog.text


async def test_what_could_not_be_enqueued_is_named(
    engine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{free_port()}")
    monkeypatch.setattr(client, "_client", None)
    with pytest.raises(NotEnqueued) as error:
        await enqueue_many({"one": Add(), "two": Add()})
    assert error.value.job_ids == ("test-add-one", "test-add-two")
    monkeypatch.setattr(client, "_client", None)


async def test_many_jobs_are_enqueued_at_once(client: TestClient) -> None:
    jobs = await enqueue_many([Add(numbers=[number]) for number in range(5)])
    assert [wait(client, job.id)["result"] for job in jobs] == [{"total": n} for n in range(5)]


async def test_a_schedule_that_is_updated_stays_paused(
    temporal: Client, own_queue: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule(monkeypatch, Nightly)
    await update_schedules(temporal, own_queue)
    nightly = schedule_of(temporal, own_queue)
    await nightly.pause(note="The disk is being moved.")

    await update_schedules(temporal, own_queue)
    state = (await nightly.describe()).schedule.state
    assert (state.paused, state.note) == (True, "The disk is being moved.")


async def test_a_schedule_that_no_job_has_any_more_is_deleted(
    temporal: Client, own_queue: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The name of the one project begins with that of the other.
    name = f"{own_queue.temporal_task_queue}-other"
    other = own_queue.model_copy(update={"temporal_task_queue": name})
    schedule(monkeypatch, Nightly)
    await update_schedules(temporal, own_queue)
    await update_schedules(temporal, other)

    schedule(monkeypatch)

    async def is_deleted() -> bool:
        # The list of schedules may be a moment late.
        await update_schedules(temporal, own_queue)
        try:
            await schedule_of(temporal, own_queue).describe()
        except RPCError:
            return True
        return False

    await until(is_deleted)
    await schedule_of(temporal, other).describe()


async def test_a_schedule_enqueues_its_job(
    temporal: Client, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule(monkeypatch, Nightly)
    await update_schedules(temporal, get_settings())
    nightly = schedule_of(temporal, get_settings())
    runs: list[str] = []

    async def has_run() -> bool:
        for each in (await nightly.describe()).info.recent_actions:
            assert isinstance(each.action, ScheduleActionExecutionStartWorkflow)
            runs.append(each.action.workflow_id)
        return runs != []

    await nightly.trigger()
    await until(has_run)
    job = wait(client, runs[0])
    assert (job["kind"], job["state"], job["result"]) == ("test-add", "succeeded", {"total": 3})
