"""The same two tasks with the settings of cookiecutter-django."""

from celery_defaults import app, nothing, wait

__all__ = ["app", "nothing", "wait"]

app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    result_serializer="json",
    result_extended=True,
    result_backend_always_retry=True,
    result_backend_max_retries=10,
    task_time_limit=300,
    task_soft_time_limit=60,
    worker_send_task_events=True,
    task_send_sent_event=True,
    worker_hijack_root_logger=False,
)
