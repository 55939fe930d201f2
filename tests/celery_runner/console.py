"""Evaluate expressions in a generated project: one a line in, one JSON answer a line out."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))

import asyncio  # noqa: E402, F401

import faults  # noqa: E402, F401
from internal import job_records, job_task, jobs  # noqa: E402, F401
from internal.celery_app import app  # noqa: E402, F401
from internal.celery_tasks import send_email  # noqa: E402, F401
from internal.job_types import ImportContacts, SendEmail  # noqa: E402, F401

for line in sys.stdin:
    try:
        answer = {"value": eval(line)}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer, default=str), flush=True)
