"""A workflow that is started from outside, by any client, obeys the rules of the project's jobs."""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError
from temporalio.common import RawValue

from tests.kit.ports import free_port, listens
from tests.kit.repository import OWN_JOBS
from tests.kit.waiting import until_async
from tests.temporal.conftest import QUEUE, Stack

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]


def payload(data: bytes, encoding: str = "json/plain", **metadata: str) -> RawValue:
    """Return an argument as a client wrote it."""
    named = {"encoding": encoding, **metadata}
    return RawValue(Payload(metadata={k: v.encode() for k, v in named.items()}, data=data))


ALWAYS: Mapping[str, Sequence[object]] = {
    "a number": [42],
    "a text": ["text"],
    "a list": [[1]],
    "null": [None],
    "no JSON": [payload(b'{"to": ')],
    "binary": [payload(bytes(range(256)), "binary/plain")],
    "an unknown encoding": [payload(b"x", "binary/encrypted")],
    "an unknown message of protobuf": [payload(b"{}", "json/protobuf", messageType="x.Y")],
    "a message of protobuf without a type": [payload(b"{}", "json/protobuf")],
    "binary that is no message of protobuf": [
        payload(b"\xff", "binary/protobuf", messageType="temporal.api.common.v1.Payload")
    ],
    "a payload without encoding": [RawValue(Payload(data=b"{}"))],
    "nothing": [],
}
"""What no workflow of the project takes."""

OF_JOBS: Mapping[str, Sequence[object]] = {
    "missing fields": [{}],
    "an unknown field": [{"nothing": 1}],
    "steps that are none": [{}, "text"],
}

KINDS: Mapping[str, Mapping[str, Sequence[object]]] = {
    "email": OF_JOBS | {"no address": [{"to": "nobody", "subject": "Hello"}]},
    "import": OF_JOBS
    | {
        "an absolute path": [{"file": "/etc/hostname"}],
        "a path to the outside": [{"file": "../app.db"}],
    },
    "onboard-user": OF_JOBS,
    "EmailNotificationWorkflow": {
        "too few arguments": ["ada@example.com"],
        "too many arguments": ["ada@example.com", "Hello", "more"],
        "a subject that is a number": ["ada@example.com", 42],
    },
    "nothing-of-this-project": {},
}


async def test_input_that_does_not_fit_fails_at_once_with_its_reason(
    stack: Stack, tmp_path: Path
) -> None:
    stack.project = shutil.copytree(stack.project, tmp_path / "with-workflow")
    shutil.copy(OWN_JOBS / "onboard_user.py", stack.project / "internal/jobs")
    await stack.start_worker()

    async def reason(kind: str, name: str, arguments: Sequence[object]) -> str:
        handle = await stack.client.start_workflow(
            kind, args=arguments, id=f"{kind}-{uuid4().hex}", task_queue=QUEUE
        )
        try:
            async with asyncio.timeout(30):
                await handle.result()
        except TimeoutError:
            return f"{kind}, {name}: it does not end"
        except WorkflowFailureError as error:
            failed = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
            tasks = [event async for event in handle.fetch_history_events()]
            if any(event.event_type == failed for event in tasks):
                return f"{kind}, {name}: a task was retried"
            if not str(error.cause):
                return f"{kind}, {name}: no reason"
            return ""
        return f"{kind}, {name}: it succeeded"

    cases = [
        (kind, name, arguments)
        for kind, own in KINDS.items()
        for name, arguments in {**ALWAYS, **own}.items()
    ]
    problems = await asyncio.gather(*(reason(*case) for case in cases))
    assert [problem for problem in problems if problem] == []


NOTES: Mapping[str, Mapping[str, object]] = {
    "a text as progress": {"progress": "half"},
    "a progress that cannot be read": {"progress": payload(b"{}", "json/protobuf")},
    "an error that is none": {"error": [1]},
    "a client that is none": {"enqueued_by": {"a": 1}},
    "an input that is none": {"input": 42},
}
"""Memos that another client wrote under names that the project uses, with values of other types."""


async def test_a_job_of_which_another_client_noted_nonsense_is_shown_and_hides_no_other(
    stack: Stack,
) -> None:
    port = free_port()
    stack.start(f"uvicorn api.main:app --port {port}")
    for name, memo in NOTES.items():
        await stack.client.start_workflow(
            "email",
            {"to": "a@example.com", "subject": "Hello"},
            id=name,
            task_queue=QUEUE,
            memo=memo,
        )
    await until_async(lambda: listens(port))
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as api:

        async def listed() -> set[str]:
            answer = await api.get("/jobs")
            assert answer.status_code == 200
            return {job["id"] for job in answer.json()["jobs"]}

        async def all_are_listed() -> bool:
            return await listed() == set(NOTES)

        await until_async(all_are_listed)
        for name in NOTES:
            assert (await api.get(f"/jobs/{name}")).json()["state"] == "queued"
            assert (await api.post(f"/jobs/{name}/cancel")).status_code == 202
        await stack.start_worker()
        for name in NOTES:

            async def ended(name: str = name) -> bool:
                state: str = (await api.get(f"/jobs/{name}")).json()["state"]
                return state in ("cancelled", "failed")

            await until_async(ended)
            assert (await api.post(f"/jobs/{name}/retry")).status_code == 202
