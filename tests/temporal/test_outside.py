"""A workflow that is started from outside, by any client, obeys the rules of the project's jobs."""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError
from temporalio.common import RawValue

from tests.kit.repository import OWN_JOBS
from tests.temporal.conftest import QUEUE, Stack

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]


def payload(data: bytes, encoding: str = "json/plain") -> RawValue:
    """Return an argument as a client wrote it."""
    return RawValue(Payload(metadata={"encoding": encoding.encode()}, data=data))


ALWAYS: Mapping[str, Sequence[object]] = {
    "a number": [42],
    "a text": ["text"],
    "a list": [[1]],
    "null": [None],
    "no JSON": [payload(b'{"to": ')],
    "binary": [payload(bytes(range(256)), "binary/plain")],
    "an unknown encoding": [payload(b"x", "binary/encrypted")],
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
