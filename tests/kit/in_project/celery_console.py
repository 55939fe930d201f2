"""What a test does in a Celery project, away from its workers.

One command a line comes in as JSON, `["NAME", [ARGUMENTS], {OPTIONS}]`, and its answer goes out as
a line: `{"value": ...}`, or `{"error": ...}` with what was raised.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import faults
from fastapi.testclient import TestClient

from api.main import app as api_app
from internal import job_records, job_task, jobs
from internal.celery_app import app, queue
from internal.celery_tasks import send_email

api = TestClient(api_app)


def enqueue(task: str, *arguments: object, **options: Any) -> str:
    """Enqueue a job of `faults`, and return its id; the options are `apply_async`'s."""
    job: str = getattr(faults, task).apply_async(arguments, **options).id
    return job


def enqueue_effects(first: int, number: int) -> None:
    """Enqueue so many jobs with an effect, with ids that are numbered."""
    for index in range(first, first + number):
        faults.effect.apply_async(task_id=f"effect-{index}")


def job(job_id: str) -> dict[str, Any]:
    """Return a job's record."""
    record: dict[str, Any] = job_records.get(job_id).model_dump(mode="json")
    return record


def jobs_named(pattern: str) -> list[str]:
    """Return the ids of the jobs whose id fits a pattern of Redis."""
    prefix = f"{queue}:job:"
    keys = job_records._redis().scan_iter(prefix + pattern)
    return [str(key).removeprefix(prefix) for key in keys]


def cancel(job_id: str) -> None:
    """Cancel a job as the API does."""
    asyncio.run(jobs.cancel(job_id))


def retry(job_id: str) -> None:
    """Replay a failed job as the API does."""
    asyncio.run(jobs.retry(job_id))


def check() -> None:
    """Check that jobs can be enqueued, as the API's readiness does."""
    asyncio.run(jobs.check())


def post_email() -> tuple[int, dict[str, str]]:
    """Post an e-mail to the API, and return the status and the headers of its answer."""
    answer = api.post("/jobs/email", json={"to": "ada@example.com", "subject": "Hello"})
    return answer.status_code, dict(answer.headers)


def send_and_wait() -> Any:
    """Send an e-mail as the guide does, and return the result of its job."""
    return send_email.delay("ada@example.com", "Hello", "It works.").get(timeout=30)


def send_again(job_id: str) -> None:
    """Send another message for a job."""
    job_task.send_again(job_id)


def messages(name: str) -> int:
    """Return how many messages wait in a queue of RabbitMQ."""
    count: int = app.connection_for_read().channel().queue_declare(name, passive=True).message_count
    return count


def lose_message() -> bool:
    """Take the one message out of the queue; tell whether there was one."""
    channel = app.connection_for_read().channel()
    if hasattr(channel, "queue_purge") and not hasattr(channel, "client"):
        return bool(channel.queue_purge(queue) == 1)
    return bool(channel.client.rpop(queue))


def nothing() -> None:
    """Answer as soon as all is imported."""


COMMANDS: dict[str, Callable[..., Any]] = {
    command.__name__: command
    for command in (
        enqueue, enqueue_effects, job, jobs_named, cancel, retry, check, post_email,
        send_and_wait, send_again, messages, lose_message, nothing,
    )
}  # fmt: skip

for line in sys.stdin:
    name, arguments, options = json.loads(line)
    try:
        answer = {"value": COMMANDS[name](*arguments, **options)}
    except Exception as error:  # noqa: BLE001 - whatever it is, the test sees it
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer, default=str), flush=True)
