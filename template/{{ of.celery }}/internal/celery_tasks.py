"""Native Celery tasks: what is here is found, recorded and listed like the jobs of `internal/jobs`.

Send one from any process, by `send_email.delay(...)`.
"""

import asyncio
from uuid import uuid4

from celery import current_task, shared_task

import internal.celery_app  # noqa: F401 - whoever imports a task can send it
from internal.config import get_settings
from internal.services import email


@shared_task
def send_email(to: str, subject: str, body: str) -> bool:
    """Send one e-mail."""
    # The same for every attempt: what happens under it happens once.
    key = current_task.request.id or uuid4().hex
    asyncio.run(email.send_email(to, subject, body, key=key, settings=get_settings()))
    return True
