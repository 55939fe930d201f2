"""The same two tasks as jobs of a generated project."""

import asyncio

from celery import shared_task

from internal.celery_app import app
from internal.job_task import RETRIES, JobTask, run

__all__ = ["app", "nothing", "wait"]


@shared_task(base=JobTask, kind="nothing", ignore_result=True, **RETRIES)
def nothing() -> None:
    """Do nothing."""


@shared_task(base=JobTask, kind="wait", ignore_result=True, **RETRIES)
def wait() -> None:
    """Wait 10 ms."""
    run(asyncio.sleep(0.01))
