"""What a worker does beside its tasks: it replaces lost messages, and shows that it is alive."""

import logging
import tempfile
from pathlib import Path
from typing import Any

from celery import Celery, bootsteps
from celery.worker import WorkController, state
from kombu.exceptions import ChannelError

from internal import job_records
from internal.config import get_settings
from internal.job_task import send_again

INTERVAL = 2.0
"""Seconds between two rounds."""

_log = logging.getLogger(__name__)


class Upkeep(bootsteps.StartStopStep):
    """A part of the worker's main process that makes its round on the worker's timer."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: WorkController, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self._received = 0
        self._entry: Any = None

    def start(self, worker: WorkController) -> None:
        """Begin the rounds."""
        timer: Any = worker.timer
        self._entry = timer.call_repeatedly(INTERVAL, self._round, (worker,))

    def stop(self, worker: WorkController) -> None:
        """End the rounds."""
        if self._entry:
            self._entry.cancel()

    def _round(self, worker: WorkController) -> None:
        try:
            waiting = _messages_waiting(worker.app)
            for job_id in job_records.sweep(waiting):
                _log.warning("job %s was lost on the way: it is sent again", job_id)
                send_again(job_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next round tries again
            _log.warning("upkeep has to wait: %s", error)
            return
        received = state.all_total_count[0]
        # Messages wait, no task runs and none was received: this worker does not listen.
        if waiting == 0 or state.active_requests or received != self._received:
            alive_file("worker").touch()
        self._received = received


def _messages_waiting(app: Celery) -> int:
    with app.connection_or_acquire() as connection, connection.channel() as channel:
        try:
            queue = channel.queue_declare(app.conf.task_default_queue, passive=True)
        except ChannelError:
            return 0  # Redis knows no empty queue
        return int(queue.message_count)


def alive_file(role: str) -> Path:
    """Return the file whose age says how long ago a worker, or beat, was seen alive."""
    return Path(tempfile.gettempdir()) / f"{get_settings().celery_task_default_queue}-{role}.alive"
