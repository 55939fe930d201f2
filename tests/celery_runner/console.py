"""Evaluate expressions in a generated project: one a line in, one JSON answer a line out."""

# ruff: noqa: F401 - the expressions use these
import asyncio
import json
import sys

import faults
from fastapi.testclient import TestClient

from api.main import app as api_app
from internal import job_records, job_task, jobs
from internal.celery_app import app
from internal.celery_tasks import send_email

api = TestClient(api_app)

for line in sys.stdin:
    try:
        answer = {"value": eval(line)}
    except Exception as error:  # noqa: BLE001 - whatever it is, the test sees it
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer, default=str), flush=True)
