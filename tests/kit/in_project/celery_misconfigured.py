"""A schedule and a time limit that do not fit the project's configuration."""

from celery import shared_task

from internal.celery_app import app
from internal.job_task import JobTask

app.conf.beat_schedule["x"] = {"task": "no.such.task", "schedule": 60}


@shared_task(base=JobTask, kind="endless", time_limit=100_000)
def endless() -> None:
    """Be allowed to run for longer than its message waits for an acknowledgement."""
