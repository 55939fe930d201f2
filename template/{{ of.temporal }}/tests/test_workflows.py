"""What is true of jobs because they are Temporal workflows."""

from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleHandle,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.exceptions import ActivityError, ApplicationError

from internal.config import Settings, get_settings
from internal.services.contacts import Progress
from internal.workers.schedules import schedule_clean_up
from internal.workers.worker import build_worker
from internal.workers.workflows import EmailNotificationWorkflow, ImportContactsWorkflow
from tests.conftest import Mailbox
from tests.runner import until
from tests.test_jobs import ENDLESS, contacts_file, imported, shorten, someone, wait


def schedule_of(client: Client, settings: Settings) -> ScheduleHandle:
    return client.get_schedule_handle(f"{settings.temporal_task_queue}-clean-up")


async def test_any_client_can_send_an_email(runner: None, mailbox: Mailbox) -> None:
    to = someone()
    settings = get_settings()
    any_client = await Client.connect(settings.temporal_address)
    result = await any_client.execute_workflow(
        "EmailNotificationWorkflow",
        args=[to, "Welcome"],
        id=f"any id / {to}",
        task_queue=settings.temporal_task_queue,
    )
    assert result is True
    assert len(mailbox.to(to)) == 1


async def test_a_wrong_argument_is_not_tried_again(temporal: Client, runner: None) -> None:
    with pytest.raises(WorkflowFailureError) as failure:
        await temporal.execute_workflow(
            EmailNotificationWorkflow.run,
            args=[someone(), "a line\nBcc: everyone@example.com"],
            id=uuid4().hex,
            task_queue=get_settings().temporal_task_queue,
        )
    assert isinstance(failure.value.cause, ActivityError)
    assert isinstance(failure.value.cause.cause, ApplicationError)
    assert failure.value.cause.cause.type == "ValueError"


def test_a_failed_job_says_why(client: TestClient) -> None:
    job_id = client.post("/jobs/import", json={"file": "nowhere.csv"}).json()["id"]
    reason = "InvalidFile: There is no file nowhere.csv in the imports folder."
    assert wait(client, job_id)["error"] == reason


async def test_another_worker_goes_on_with_an_import(temporal: Client, own_queue: Settings) -> None:
    file = contacts_file(rows=ENDLESS)
    job: WorkflowHandle[Any, dict[str, int]]

    async def has_begun() -> bool:
        return (await job.describe()).raw_description.pending_activities[:] != []

    async with build_worker(temporal, own_queue):
        job = await temporal.start_workflow(
            ImportContactsWorkflow.run,
            file,
            id=uuid4().hex,
            task_queue=own_queue.temporal_task_queue,
        )
        await until(has_begun)
    done = imported(file)
    assert done < ENDLESS
    shorten(file, done + 10)

    async with build_worker(temporal, own_queue):
        assert await job.result() == {"rows": done + 10}
    assert imported(file) == done + 10


async def test_a_long_import_goes_on_in_a_new_run(
    temporal: Client, runner: None, client: TestClient
) -> None:
    file = contacts_file(rows=40)
    job = await temporal.start_workflow(
        ImportContactsWorkflow.run,
        args=[file, 5],
        id=f"import-{uuid4().hex}",
        task_queue=get_settings().temporal_task_queue,
    )
    assert await job.result() == {"rows": 40}

    assert (await job.describe()).run_id != job.first_execution_run_id
    assert await job.query(ImportContactsWorkflow.progress) == Progress(done=40, total=40)
    assert wait(client, job.id)["progress"] == {"done": 40, "total": 40}
    assert imported(file) == 40


async def test_a_schedule_that_is_made_again_stays_paused(
    temporal: Client, own_queue: Settings
) -> None:
    await schedule_clean_up(temporal, own_queue)
    schedule = schedule_of(temporal, own_queue)
    await schedule.pause(note="The disk is being moved.")

    await schedule_clean_up(temporal, own_queue)
    state = (await schedule.describe()).schedule.state
    assert (state.paused, state.note) == (True, "The disk is being moved.")


async def test_other_schedules_are_left_alone(temporal: Client, own_queue: Settings) -> None:
    other = own_queue.model_copy(update={"temporal_task_queue": uuid4().hex})
    await schedule_clean_up(temporal, other)
    before = await schedule_of(temporal, other).describe()

    for _ in range(2):
        await schedule_clean_up(temporal, own_queue)
    after = await schedule_of(temporal, other).describe()
    assert after.info.last_updated_at == before.info.last_updated_at


async def test_the_schedule_cleans_up(temporal: Client, runner: None, client: TestClient) -> None:
    schedule = schedule_of(temporal, get_settings())
    runs: list[str] = []

    async def has_run() -> bool:
        for each in (await schedule.describe()).info.recent_actions:
            assert isinstance(each.action, ScheduleActionExecutionStartWorkflow)
            runs.append(each.action.workflow_id)
        return runs != []

    await schedule.trigger()
    await until(has_run)
    job = wait(client, runs[0])
    assert (job["kind"], job["state"]) == ("cleanup", "succeeded")
    assert set(job["result"]) == {"outbox_files", "records"}
