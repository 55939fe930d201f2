"""The same two tasks, acknowledged when they have ended, so that a killed worker's are repeated."""

from celery_defaults import app, nothing, wait

__all__ = ["app", "nothing", "wait"]

app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1)
