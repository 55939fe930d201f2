"""The example of native code in `internal/workers`, which any Temporal client may start."""

from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError

from internal.config import get_settings
from tests.api import wait, wait_until_listed
from tests.conftest import Mailbox

KIND = "EmailNotificationWorkflow"


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
