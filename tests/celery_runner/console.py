"""Evaluate expressions in a generated project: one a line in, one JSON answer a line out."""

# ruff: noqa: F401 - the expressions use these
import asyncio
import json
import sys

from fastapi.testclient import TestClient

from api.main import app as api_app
from internal import runner
from internal.celery_app import app
from internal.celery_tasks import send_email
from internal.jobs import faults
from internal.runner import messages, records
from internal.runner.registry import registry

api = TestClient(api_app)


def enqueue(kind, key=None, **fields):
    job = registry().kinds[kind](**fields)
    return asyncio.run(runner.enqueue(job, key=key)).id


def enqueue_many(kind, keys):
    job = registry().kinds[kind]()
    return [info.id for info in asyncio.run(runner.enqueue_many(dict.fromkeys(keys, job)))]


for line in sys.stdin:
    try:
        answer = {"value": eval(line)}
    except Exception as error:  # noqa: BLE001 - whatever it is, the test sees it
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer, default=str), flush=True)
