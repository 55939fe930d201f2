"""What a test does in a Celery project, away from its workers.

One command a line comes in as JSON, `["NAME", [ARGUMENTS], {OPTIONS}]`, and its answer goes out as
a line: `{"value": ...}`, or `{"error": ...}` with what was raised.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi.testclient import TestClient

from api.main import app as api_app
from internal import runner
from internal.celery_app import app
from internal.celery_tasks import send_email
from internal.jobs import faults
from internal.runner import messages, queues, records
from internal.runner.registry import registry

api = TestClient(api_app)


def enqueue(kind: str, key: str | None = None, **fields: Any) -> str:
    """Enqueue a job of `faults`, and return its id."""
    definition = registry().kinds[kind](**fields)
    return asyncio.run(runner.enqueue(definition, key=key)).id


def enqueue_many(kind: str, keys: list[str]) -> None:
    """Enqueue a job of a kind under each key, in one call."""
    asyncio.run(runner.enqueue_many(dict.fromkeys(keys, registry().kinds[kind]())))


def enqueue_together(kind: str, number: int) -> list[str]:
    """Enqueue so many jobs of a kind by calls at the same time, and return their ids."""

    async def enqueue_all() -> list[str]:
        new = [runner.enqueue(registry().kinds[kind]()) for _ in range(number)]
        return [job.id for job in await asyncio.gather(*new)]

    return asyncio.run(enqueue_all())


def delay(*arguments: object, **options: Any) -> str:
    """Send the native task of `faults`, and return its id; the options are `apply_async`'s."""
    job_id: str = faults.native.apply_async(arguments, **options).id
    return job_id


def delay_and_wait(*arguments: object) -> Any:
    """Send the native task of `faults`, and return its result."""
    return faults.native.delay(*arguments).get(timeout=20)


def job(job_id: str) -> dict[str, Any]:
    """Return a job's record."""
    return records.run(records.get(job_id)).model_dump(mode="json")


def jobs_of(kind: str) -> list[str]:
    """Return the ids of the jobs of a kind."""
    return [job.id for job in asyncio.run(runner.list_jobs(kind=kind)).jobs]


def cancel(job_id: str) -> None:
    """Cancel a job as the API does."""
    asyncio.run(runner.cancel(job_id))


def retry(job_id: str) -> None:
    """Replay a failed job as the API does."""
    asyncio.run(runner.retry(job_id))


def check() -> None:
    """Check that jobs can be enqueued, as the API's readiness does."""
    asyncio.run(runner.check())


def post_all(kind: str, keys: list[str], **fields: object) -> list[int]:
    """Post a job to the API under each key, all at once, and return the status codes."""

    def post(key: str) -> int:
        headers = {"Idempotency-Key": key}
        return api.post(f"/jobs/{kind}", json=fields, headers=headers).status_code

    with ThreadPoolExecutor(len(keys)) as threads:
        return list(threads.map(post, keys))


def post_email() -> tuple[int, dict[str, str]]:
    """Post an e-mail to the API, and return the status and the headers of its answer."""
    answer = api.post("/jobs/email", json={"to": "ada@example.com", "subject": "Hello"})
    return answer.status_code, dict(answer.headers)


def send_and_wait() -> Any:
    """Send an e-mail as the guide does, and return the result of its job."""
    return send_email.delay("ada@example.com", "Hello", "It works.").get(timeout=30)


def send_again(job_id: str, kind: str) -> None:
    """Send another message for a job."""
    messages.send(records.Message(job_id, f"jobs.{kind}", queues.DEFAULT))


def waiting() -> int:
    """Return how many messages wait in the default queue."""
    return messages.waiting(app.connection_for_read(), queues.DEFAULT)


def lose_message() -> bool:
    """Take the one message out of the queue; tell whether there was one."""
    channel = app.connection_for_read().channel()
    name = queues.name_of(queues.DEFAULT)
    if hasattr(channel, "client"):
        return bool(channel.client.rpop(name))
    return bool(channel.queue_purge(name) == 1)


def ping() -> list[str]:
    """Return the names of the workers that answer."""
    return [name for answer in app.control.ping() for name in answer]


def nothing() -> None:
    """Answer as soon as all is imported."""


COMMANDS: dict[str, Callable[..., Any]] = {
    command.__name__: command
    for command in (
        enqueue, enqueue_many, enqueue_together, delay, delay_and_wait, job, jobs_of, cancel,
        retry, check, post_all, post_email, send_and_wait, send_again, waiting, lose_message,
        ping, nothing,
    )
}  # fmt: skip

for line in sys.stdin:
    name, arguments, options = json.loads(line)
    try:
        answer = {"value": COMMANDS[name](*arguments, **options)}
    except Exception as error:  # noqa: BLE001 - whatever it is, the test sees it
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer, default=str), flush=True)
