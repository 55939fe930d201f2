"""The example of native code in `internal/workers`, which any Temporal client may start."""

import asyncio
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import Worker

from internal.config import Settings, get_settings
from internal.runner import client as runner_client
from tests.api import wait, wait_until_listed
from tests.conftest import Mailbox

KIND = "EmailNotificationWorkflow"

NO_JSON = [
    Payload(metadata={"encoding": b"binary/plain"}, data=b"\xff"),
    Payload(metadata={"encoding": b"binary/encrypted"}, data=b"x"),
    Payload(metadata={"encoding": b"json/plain"}, data=b'"\\ud800"'),
]


@workflow.defn(sandboxed=False)
class ReturnNoJson:
    """A native workflow whose result is in `NO_JSON`."""

    @workflow.run
    async def run(self, number: int) -> RawValue:
        """Return one of them."""
        return RawValue(NO_JSON[number])


async def test_any_client_can_send_an_email(client: TestClient, mailbox: Mailbox) -> None:
    to = f"{uuid4().hex}@example.com"
    settings = get_settings()
    any_client = await Client.connect(settings.temporal_address)
    result = await any_client.execute_workflow(
        KIND, args=[to, "Welcome"], id=f"mail-{to}", task_queue=settings.temporal_task_queue
    )
    assert result is True
    assert len(mailbox.to(to)) == 1
    job = wait(client, f"mail-{to}")
    assert (job["kind"], job["state"], job["result"]) == (KIND, "succeeded", True)
    wait_until_listed(client, f"mail-{to}", kind=KIND)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["ada@example.com", "a line\nBcc: everyone@example.com"], "EmailRejected"),
        (["ada@example.com"], "TypeError"),
        ([1, 2], "ValidationError"),
    ],
)
async def test_wrong_arguments_fail_at_once(
    temporal: Client, client: TestClient, arguments: list[object], reason: str
) -> None:
    job_id = uuid4().hex
    with pytest.raises(WorkflowFailureError) as failure:
        await temporal.execute_workflow(
            KIND, args=arguments, id=job_id, task_queue=get_settings().temporal_task_queue
        )
    cause: BaseException | None = failure.value.cause
    if isinstance(cause, ActivityError):
        cause = cause.cause
    assert isinstance(cause, ApplicationError)
    assert cause.type == reason
    assert wait(client, job_id)["error"].startswith(reason)


@pytest.mark.parametrize("number", range(len(NO_JSON)))
async def test_a_result_that_is_no_json_is_left_out(
    temporal: Client,
    own_queue: Settings,
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    monkeypatch.setattr(runner_client, "get_settings", lambda: own_queue)
    job_id, queue = uuid4().hex, own_queue.temporal_task_queue
    async with Worker(temporal, task_queue=queue, workflows=[ReturnNoJson]):
        await temporal.start_workflow("ReturnNoJson", number, id=job_id, task_queue=queue)
        job = await asyncio.to_thread(wait, client, job_id)
    assert (job["state"], job["result"]) == ("succeeded", None)
    assert client.post(f"/jobs/{job_id}/cancel").status_code == 409
