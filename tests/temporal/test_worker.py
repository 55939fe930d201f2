"""The worker as a process: its settings, signals, logs and health checks."""

import asyncio
import json
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.kit.ports import free_port
from tests.kit.processes import CommandFailed, run, user_environment
from tests.kit.repository import tool
from tests.kit.waiting import until_async
from tests.temporal.conftest import QUEUE, Stack, report

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]


async def probe(stack: Stack, question: str, port: str) -> int:
    """Ask as a container's health check does."""
    asking = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "internal/runner/probe.py", question,
        cwd=stack.project, env=stack.environment | {"WORKER_HEALTH_PORT": port},
    )  # fmt: skip
    return await asking.wait()


async def test_the_guide_s_command_starts_a_worker_that_runs_the_guide_s_workflow(
    stack: Stack,
) -> None:
    await stack.start_worker()
    result = await stack.client.execute_workflow(
        "EmailNotificationWorkflow",
        args=["ada@example.com", "Hello"],
        id="anything",
        task_queue=QUEUE,
    )
    assert result is True
    assert stack.mailbox.by_recipient == {"ada@example.com": 1}


async def test_the_worker_s_health_checks_follow_its_state(stack: Stack) -> None:
    port = str(free_port())
    worker = await stack.start_worker(WORKER_HEALTH_PORT=port)

    async def ready() -> bool:
        return await probe(stack, "readyz", port) == 0

    await until_async(ready)
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

    await until_async(not_ready)
    assert await probe(stack, "livez", port) == 0


async def test_a_health_check_loads_nothing_but_the_standard_library(stack: Stack) -> None:
    program = "import runpy, sys; runpy.run_path('internal/runner/probe.py'); print(*sys.modules)"
    loaded = run(sys.executable, "-P", "-c", program, cwd=stack.project).split()
    own = {name.partition(".")[0] for name in loaded} - {"__main__", "sitecustomize"}
    assert "http" in own
    assert own <= sys.stdlib_module_names


async def test_the_worker_waits_for_a_namespace(stack: Stack) -> None:
    worker = stack.start("internal.workers.main", TEMPORAL_NAMESPACE="later")
    await worker.says("again in 2.00 s")
    assert "later" in worker.log
    assert await worker.stop() == 0


async def test_json_logs_name_the_job_the_workflow_and_the_activity(stack: Stack) -> None:
    absent = f"smtp://127.0.0.1:{free_port()}"
    worker = await stack.start_worker(LOG_FORMAT="json", SMTP_URL=absent)
    await stack.client.start_workflow(
        "import", {"file": "no-such-file.csv"}, id="import-1", task_queue=QUEUE
    )
    await stack.client.start_workflow(
        "EmailNotificationWorkflow", args=["a@example.com", "Hi"], id="email-1", task_queue=QUEUE
    )

    def lines(text: str) -> list[dict[str, Any]]:
        logged = [line for line in worker.log.splitlines(keepends=True) if line.endswith("\n")]
        return [entry for entry in map(json.loads, logged) if text in entry["message"]]

    await until_async(lambda: bool(lines("InvalidFile") and lines("Completing activity as failed")))
    [foreseen] = lines("InvalidFile")
    assert foreseen["job_id"] == "import-1"
    assert foreseen["message"].startswith("import failed: ")
    assert "exception" not in foreseen
    unforeseen = lines("Completing activity as failed")[0]
    assert unforeseen["job_id"] == "email-1"
    assert unforeseen["temporal_activity"]["workflow_id"] == "email-1"
    assert unforeseen["temporal_activity"]["activity_type"] == "send_email_activity"
    assert unforeseen["temporal_activity"]["attempt"] == 1
    assert "Traceback" in unforeseen["exception"]


async def test_a_worker_with_a_version_works_when_its_version_is_the_current_one(
    stack: Stack,
) -> None:
    await stack.start_worker(TEMPORAL_DEPLOYMENT_NAME="app", TEMPORAL_WORKER_BUILD_ID="2")
    makes_it_current = [
        tool("temporal"), "worker", "deployment", "set-current-version", "--address", stack.address,
        "--deployment-name", "app", "--build-id", "2", "--yes",
    ]  # fmt: skip

    async def is_current() -> bool:
        # The server knows a version a moment after its first poll.
        try:
            await asyncio.to_thread(run, *makes_it_current)
        except CommandFailed:
            return False
        return True

    await until_async(is_current)
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
        "import", {"file": stack.contacts_file(300_000)}, id="import-1", task_queue=QUEUE
    )

    async def has_progress() -> bool:
        pending = (await job.describe()).raw_description.pending_activities
        return any(activity.HasField("heartbeat_details") for activity in pending)

    await until_async(has_progress)

    async def is_cancelled() -> bool:
        return (await job.describe()).status is WorkflowExecutionStatus.CANCELED

    start = time.monotonic()
    await job.cancel()
    await until_async(is_cancelled)
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

        await until_async(live)
        answer = await http.post("/jobs/email", json=body)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        await stack.start_engine()
        await until_async(accepted, 5)
    # The API's server ends by the signal itself, after it has drained.
    assert await api.stop() == -signal.SIGTERM


async def test_an_incompatible_change_fails_the_replay_with_advice(
    project: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "project"
    shutil.copytree(project, changed)
    # A job whose recorded first step is another activity than the one in the code.
    history = changed / "tests/histories/EmailNotificationWorkflow.json"
    recorded = json.loads(history.read_text())
    [scheduled] = [
        event["activityTaskScheduledEventAttributes"]
        for event in recorded["events"]
        if "activityTaskScheduledEventAttributes" in event
    ]
    scheduled["activityType"]["name"] = "another_activity"
    history.write_text(json.dumps(recorded))

    pytest_of_project = (sys.executable, "-m", "pytest", "-q", "tests/test_replay.py")
    with pytest.raises(CommandFailed) as failed:
        run(*pytest_of_project, cwd=changed, environment=user_environment())
    assert "1 failed" in str(failed.value)
    assert "workflow.patched" in str(failed.value)
    assert "python -m tests.record_histories" in str(failed.value)


async def test_a_worker_takes_only_the_queues_that_it_is_given(stack: Stack) -> None:
    await stack.start_worker(WORKER_QUEUES="slow")
    waiting, done = [
        await stack.client.start_workflow(
            "email",
            {"to": "ada@example.com", "subject": "Hello"},
            id=queue,
            task_queue=queue,
        )
        for queue in (QUEUE, f"{QUEUE}_slow")
    ]
    assert await done.result() is True
    assert (await waiting.describe()).status is WorkflowExecutionStatus.RUNNING
    await stack.start_worker(WORKER_QUEUES="default")
    assert await waiting.result() is True


async def test_a_queue_s_limits_hold_over_all_workers(stack: Stack) -> None:
    limits = {"QUEUE_RATE": '{"default": 5}', "QUEUE_CONCURRENCY": '{"default": 2}'}
    for _ in range(2):
        await stack.start_worker(**limits)
    start = time.monotonic()
    await asyncio.gather(
        *(
            stack.client.execute_workflow(
                "email",
                {"to": f"{number}@example.com", "subject": "Hello"},
                id=str(number),
                task_queue=QUEUE,
            )
            for number in range(40)
        )
    )
    rate = 40 / (time.monotonic() - start)
    report(jobs_a_second=f"{rate:.1f}")
    # The server lets some more through at the beginning.
    assert rate < 8
