"""Tasks that misbehave, for the tests' worker."""

import os
import signal

from celery import shared_task

from internal.job_task import RETRIES, JobTask


@shared_task(base=JobTask, kind="poison", **RETRIES)
def poison() -> None:
    """Kill the process that runs it."""
    os.kill(os.getpid(), signal.SIGKILL)
