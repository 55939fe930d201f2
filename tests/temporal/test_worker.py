"""The worker as a process: what it is told, what it says, and what it makes others see."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import httpx2
import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.temporal.conftest import QUEUE, Stack, free_port, report, until

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]


async def probe(stack: Stack, question: str, port: str) -> int:
    """Ask as a container's health check does."""
    return await stack.start(f"internal.workers.probe {question}", WORKER_HEALTH_PORT=port).ended()


async def test_the_seeds_workflow_is_run_by_the_seeds_command(stack: Stack) -> None:
    await stack.start_worker()
    result = await stack.client.execute_workflow(
        "EmailNotificationWorkflow",
        args=["ada@example.com", "Hello"],
        id="anything",
        task_queue=QUEUE,
    )
    assert result is True
    assert stack.mailbox.by_recipient == {"ada@example.com": 1}


async def test_the_worker_tells_how_it_is(stack: Stack) -> None:
    port = str(free_port())
    worker = await stack.start_worker(WORKER_HEALTH_PORT=port)

    async def ready() -> bool:
        return await probe(stack, "readyz", port) == 0

    await until(ready)
    assert await probe(stack, "livez", port) == 0

    # A process that is there but does nothing.
    worker.send(signal.SIGSTOP)
    assert await probe(stack, "livez", port) == 1
    worker.send(signal.SIGCONT)
    assert await probe(stack, "livez", port) == 0

    # Without a server it is not ready, and a restart would not help.
    await stack.processes[0].stop()

    async def not_ready() -> bool:
        return not await ready()

    await until(not_ready)
    assert await probe(stack, "livez", port) == 0


async def test_the_worker_waits_for_a_namespace(stack: Stack) -> None:
    worker = stack.start("internal.workers.main", TEMPORAL_NAMESPACE="later")
    await worker.says("again in 2.00 s")
    assert "later" in worker.log
    assert await worker.stop() == 0


async def test_the_schedule_fires(stack: Stack) -> None:
    # With seven fields the first is for seconds.
    await stack.start_worker(CLEANUP_SCHEDULE="*/2 * * * * * *")

    async def has_fired() -> bool:
        runs = stack.client.list_workflows(
            "WorkflowType = 'CleanUpWorkflow' AND ExecutionStatus = 'Completed'"
        )
        return [run.id async for run in runs] != []

    await until(has_fired)


async def test_json_logs_name_the_job_the_workflow_and_the_activity(stack: Stack) -> None:
    worker = await stack.start_worker(LOG_FORMAT="json")
    handle = await stack.client.start_workflow(
        "ImportContactsWorkflow", "no-such-file.csv", id="import-1", task_queue=QUEUE
    )
    await until(lambda: "InvalidFile" in worker.log)
    lines = [json.loads(line) for line in worker.log.splitlines()]
    [failed] = [line for line in lines if "InvalidFile" in line.get("exception", "")]
    assert failed["job_id"] == handle.id
    assert failed["temporal_activity"]["workflow_id"] == handle.id
    assert failed["temporal_activity"]["activity_type"] == "import_contacts_activity"
    assert failed["temporal_activity"]["attempt"] == 1


async def test_a_worker_with_a_version_works_when_its_version_is_the_current_one(
    stack: Stack,
) -> None:
    await stack.start_worker(TEMPORAL_DEPLOYMENT_NAME="app", TEMPORAL_WORKER_BUILD_ID="2")
    temporal = shutil.which("temporal", path=sysconfig.get_path("scripts"))
    assert temporal
    makes_it_current = [
        temporal, "worker", "deployment", "set-current-version", "--address", stack.address,
        "--deployment-name", "app", "--build-id", "2", "--yes",
    ]  # fmt: skip

    async def is_current() -> bool:
        # The server knows a version a moment after its first poll.
        done = await asyncio.to_thread(subprocess.run, makes_it_current, capture_output=True)
        return done.returncode == 0

    await until(is_current)
    job = await stack.client.start_workflow(
        "EmailNotificationWorkflow",
        args=["ada@example.com", "Hello"],
        id="email-1",
        task_queue=QUEUE,
    )
    assert await job.result() is True
    version = (await job.describe()).raw_description.workflow_execution_info.versioning_info
    assert version.deployment_version.build_id == "2"


async def test_an_import_is_cancelled_in_less_than_a_second(stack: Stack) -> None:
    await stack.start_worker()
    job = await stack.client.start_workflow(
        "ImportContactsWorkflow", stack.contacts_file(20_000), id="import-1", task_queue=QUEUE
    )

    async def has_progress() -> bool:
        pending = (await job.describe()).raw_description.pending_activities
        return any(activity.HasField("heartbeat_details") for activity in pending)

    await until(has_progress)

    async def is_cancelled() -> bool:
        return (await job.describe()).status is WorkflowExecutionStatus.CANCELED

    start = time.monotonic()
    await job.cancel()
    await until(is_cancelled)
    report(cancelled_after_seconds=f"{time.monotonic() - start:.2f}")
    assert time.monotonic() - start < 1


async def test_the_api_starts_without_a_server_and_finds_it_later(stack: Stack) -> None:
    await stack.processes[0].stop()
    port = free_port()
    api = stack.start(f"uvicorn api.main:app --port {port}")
    body = {"to": "ada@example.com", "subject": "Hello"}
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:

        async def live() -> bool:
            try:
                return (await http.get("/livez")).is_success
            except httpx2.TransportError:
                return False

        async def accepted() -> bool:
            return (await http.post("/jobs/email", json=body)).status_code == 202

        await until(live)
        answer = await http.post("/jobs/email", json=body)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        await stack.start_engine()
        await until(accepted, seconds=5)
    # The API's server ends by the signal itself, after it has drained.
    assert await api.stop() == -signal.SIGTERM


async def test_an_incompatible_change_fails_the_replay_with_advice(
    project: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "project"
    shutil.copytree(project, changed)
    workflows = changed / "internal/workers/workflows.py"
    code = workflows.read_text()
    before = "        return await workflow.execute_activity(\n            send_email_activity,"
    assert before in code
    workflows.write_text(
        code.replace(before, f"        await workflow.sleep(timedelta(minutes=1))\n{before}")
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "pytest", "-q", "tests/test_replay.py"],
        cwd=changed, env=os.environ | {"PYTEST_ADDOPTS": ""}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "1 failed" in done.stdout
    assert "workflow.patched" in done.stdout
    assert "python -m tests.record_histories" in done.stdout
