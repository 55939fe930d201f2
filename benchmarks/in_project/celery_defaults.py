"""Two tasks with Celery's default settings: one does nothing, one waits 10 ms."""

import os
import time

from celery import Celery

app = Celery(
    "bench", broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["CELERY_RESULT_BACKEND"]
)


@app.task
def nothing() -> None:
    """Do nothing."""


@app.task
def wait() -> None:
    """Wait 10 ms."""
    time.sleep(0.01)
