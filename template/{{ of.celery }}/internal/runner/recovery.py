"""What a worker does beside its jobs, in a thread: the sweep, and the proof that it listens.

The sweep sends messages for jobs whose time has come, for those whose worker is gone, and for
those whose message is lost. Every worker does it; each step is atomic, so no two find the same job.
"""

import logging
import threading
from typing import Any

from celery import bootsteps
from celery.worker import WorkController, state
from redis import RedisError

from internal.config import get_settings
from internal.runner import messages, queue_check, queues, records
from internal.runner.liveness import alive_file
from internal.runner.pool import Pool
from internal.runner.records import Message

INTERVAL = 0.5
"""Seconds between two looks for jobs whose time has come."""

ROUND = 4
"""Every so many looks, also for lost jobs and messages."""

_log = logging.getLogger(__name__)


class Recovery(bootsteps.StartStopStep):
    """The part of the worker that sweeps, and that chooses its queues."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        if worker.pool_cls is not Pool:
            raise SystemExit("Jobs need a pool of their own: leave --pool out of the command.")
        for problem in queue_check.unknown(get_settings()):
            _log.warning(problem)
        known: Any = worker.app.amqp.queues
        for queue in queues.taken():
            known.add(queues.declaration(queue))
        # The others have consumers of their own (queues.py).
        known.select([queues.name_of(queues.taken()[0])])
        self._sweep: Sweep | None = None

    def start(self, worker: WorkController) -> None:
        """Begin the rounds."""
        _log.info("taking jobs from the queues %s", ", ".join(queues.taken()))
        self._sweep = Sweep(worker)
        self._sweep.start()

    def stop(self, worker: WorkController) -> None:
        """End the rounds."""
        if self._sweep:
            self._sweep.end()


class Sweep(threading.Thread):
    """Sends a message for each job that needs one; reconnects after an error."""

    def __init__(self, worker: WorkController) -> None:
        super().__init__(name="sweep", daemon=True)
        self._pool: Any = worker.pool
        self._ended = threading.Event()
        self._received = 0
        self._redis = records.connect()
        self._connection: Any = None

    def run(self) -> None:
        """Make rounds until the end."""
        rounds = 0
        while not self._ended.wait(INTERVAL):
            rounds += 1
            try:
                self._send(self._do(records.due()))
                if rounds % ROUND == 0:
                    self._find_lost()
                    self._prove_listening()
            except messages.ERRORS as error:
                _log.warning("the sweep has to wait: %s", str(error) or "no answer in time")
                # To be restarted would not bring the engine back, and end what still runs.
                alive_file("worker").touch()
                self._disconnect()
            except Exception:  # noqa: BLE001 - whatever it is, the next round tries again
                _log.exception("the sweep failed")
                self._disconnect()
        self._disconnect()

    def end(self) -> None:
        """Make no more rounds."""
        self._ended.set()

    def _find_lost(self) -> None:
        lost, suspects = self._do(records.lost())
        for message in lost:
            _log.warning("job %s has lost its worker: it is queued again", message.id)
        self._send(lost)
        for queue in suspects:
            waiting = messages.waiting(self._broker(), queue)
            lost = self._do(records.unannounced(queue, waiting))
            self._send(lost)
            for message in lost:
                _log.warning("the message of job %s was lost: it was sent again", message.id)
        self._do(records.forget_expired())

    def _prove_listening(self) -> None:
        received = state.all_total_count[0]
        # Messages wait, no job runs and none was received: this worker does not listen.
        if self._pool.busy or received != self._received or not self._messages_wait():
            alive_file("worker").touch()
        self._received = received

    def _messages_wait(self) -> bool:
        return any(messages.waiting(self._broker(), queue) for queue in queues.taken())

    def _do(self, command: records.Command[Any]) -> Any:
        [answer] = records.run_all([command], self._redis)
        if isinstance(answer, RedisError):
            raise answer
        return command.answer(answer)

    def _send(self, found: list[Message]) -> None:
        # The first one alone: while the broker takes no messages, all others would be sent to it again
        # in every round.
        for batch in filter(None, (found[:1], found[1:])):
            messages.publish_all(self._broker(), batch)

    def _broker(self) -> Any:
        if self._connection is None:
            self._connection = messages.bulk_connection()
            self._connection.ensure_connection(max_retries=1, interval_start=0)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            try:
                connection.collect(socket_timeout=1)
            except Exception as error:  # noqa: BLE001 - it is not used any more
                _log.debug("the old connection did not close: %s", error)
