"""The pool of a worker: jobs run side by side on one event loop, in a thread of its process.

Celery's main thread receives and acknowledges messages; the event loop takes jobs by their records,
runs them and writes down their outcomes. Code that blocks runs in threads of the event loop.
"""

import asyncio
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from celery.concurrency.base import BasePool, apply_target
from celery.states import IGNORED, RETRY
from celery.worker import state as worker_state
from kombu import Message
from redis import RedisError

from internal import logs
from internal.runner import client, execution, outbox, queues, records
from internal.runner.attempts import THREAD_GRACE, InvalidResult, describe, to_json
from internal.runner.batches import Records
from internal.runner.dead_letters import NoJob, put_aside
from internal.runner.leases import Held, Leases
from internal.runner.liveness import watch_database
from internal.runner.records import Later, Outcome, Record, Taken
from internal.runner.registry import registry
from internal.runner.states import JobState
from internal.runner.task import Call, NativeRun, RecordedTask, current_run

SOON = 3.0
"""A job that may run within so many seconds is waited for by the worker that put it off."""

LONGEST_ID = 500
"""How many characters the id in a message may have."""

THREADS = 4
"""How many threads there are beside those for as many blocking jobs as run side by side."""

SUSPECT = 2
"""A job that ran when so many workers died runs beside no other such job: one is to blame."""

PAUSE = 1.0
"""Seconds between two attempts to take a job while Redis does not answer."""

ALONE_AFTER = 0.5
"""Seconds from the moment in which such a job is chosen to run until it begins."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    """A job that may have to be run, by a message or, for another attempt, without one."""

    job_id: str
    task: RecordedTask
    queue: str
    message: Message | None = None


Settle = Callable[[Message], None]
"""What is done with a message when its job needs it no more."""


def acknowledge(message: Message) -> None:
    """Let the broker forget a message."""
    message.ack_log_error(_log, (Exception,))


def give_back(message: Message) -> None:
    """Let the broker deliver a message to another worker."""
    message.reject_log_error(_log, (Exception,), requeue=True)


class Slots:
    """The limit of one queue in this worker."""

    def __init__(self, queue: str, concurrency: int) -> None:
        self.interval = queues.interval(queue)
        self.free = asyncio.Semaphore(queues.concurrency(queue, concurrency))


def strategy(task: RecordedTask, _app: Any, consumer: Any) -> Callable[..., None]:
    """Return what is done with the messages of a task (`Task.Strategy`)."""
    pool: Pool = consumer.pool
    events = consumer.event_dispatcher

    def receive(message: Message, _body: Any, *_: Any, **__: Any) -> None:
        headers: Any = message.headers
        if not _is_id(headers.get("id")):
            raise NoJob(f"It has no id by which a job of {task.name} can be found.")
        worker_state.total_count[task.name] = worker_state.total_count.get(task.name, 0) + 1
        worker_state.all_total_count[0] += 1
        if events and events.enabled:
            events.send("task-received", uuid=headers["id"], name=task.name)
        queue = queues.policy_of(message.delivery_info.get("routing_key"))
        pool.receive(Delivery(headers["id"], task, queue, message))

    return receive


class Pool(BasePool):
    """Celery's interface to the event loop."""

    task_join_will_block = False

    def on_start(self) -> None:
        """Start the event loop and its threads."""
        self.stopping = False
        self._inbox: deque[Delivery] = deque()
        self._settled: deque[tuple[Message, Settle]] = deque()
        self._returned: list[Message] = []
        self._wakes, self._wake = os.pipe()
        os.set_blocking(self._wakes, False)
        self._slots: dict[str, Slots] = {}
        self._alone = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept = Records()
        self._loop = asyncio.new_event_loop()
        limit = sum(queues.concurrency(queue, int(self.limit or 1)) for queue in queues.taken())
        self._loop.set_default_executor(ThreadPoolExecutor(limit + THREADS))
        self._beside = [
            self._loop.create_task(outbox.relay_until_cancelled(client.enqueue)),
            self._loop.create_task(watch_database()),
        ]
        threading.Thread(target=self._loop.run_forever, name="event-loop", daemon=True).start()
        self._leases = Leases(self._loop)
        self._leases.start()

    def register_with_event_loop(self, hub: Any) -> None:
        """Let the main thread acknowledge what is done."""
        hub.add_reader(self._wakes, self._settle)

    @property
    def busy(self) -> bool:
        """Whether a job is running."""
        return bool(self._leases.held)

    def receive(self, delivery: Delivery) -> None:
        """Hand a job over to the event loop."""
        if self.stopping:
            if delivery.message:
                self._returned.append(delivery.message)
            return
        self._inbox.append(delivery)
        if len(self._inbox) == 1:
            self._loop.call_soon_threadsafe(self._begin)

    def on_apply(self, target: Any, args: Any = (), kwargs: Any = None, **options: Any) -> None:
        """Run what is not recorded, such as Celery's own tasks, in a thread."""
        self._loop.call_soon_threadsafe(
            self._loop.run_in_executor, None, lambda: apply_target(target, args, kwargs, **options)
        )

    def on_stop(self) -> None:
        """Let jobs end for a while, then give them back (SIGTERM)."""
        if worker_state.should_terminate:
            # This is the handler of SIGQUIT: the main loop, woken up, goes on with `on_terminate`.
            self.stopping = True
            os.write(self._wake, b".")
        else:
            self._drain()

    def on_terminate(self) -> None:
        """Do the same after SIGQUIT, whose handler has returned."""
        self._drain()

    def on_close(self) -> None:
        """Take no more jobs."""
        self.stopping = True

    def _drain(self) -> None:
        grace = self.app.conf.worker_soft_shutdown_timeout
        if self._leases.held:
            _log.info("waiting for %d jobs", len(self._leases.held))
        drained = asyncio.run_coroutine_threadsafe(self._end(grace), self._loop)
        while not drained.done():
            self._settle()
            time.sleep(0.02)
        self._leases.end()
        self._settle()
        for message in self._returned:
            give_back(message)

    async def _end(self, grace: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for held in list(self._leases.held.values()):
            held.stop("give back")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=THREAD_GRACE + records.TIMEOUT)
        for task in self._beside:
            task.cancel()
        await asyncio.wait(self._beside)

    # What follows runs in the main thread.

    def _settle(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wakes, 1_000)
        while self._settled:
            message, settle = self._settled.popleft()
            settle(message)

    # What follows runs on the event loop.

    def _begin(self) -> None:
        while self._inbox:
            self._start(self._inbox.popleft())

    def _start(self, delivery: Delivery) -> None:
        task = self._loop.create_task(self._handle(delivery), name=delivery.job_id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, delivery: Delivery) -> None:
        logs.job_id.set(delivery.job_id)
        settle = acknowledge
        try:
            slots = self._slots_of(delivery.queue)
            async with slots.free:
                if await self._take_and_run(delivery, slots.interval):
                    settle = give_back
        except NoJob as error:
            settle = partial(put_aside, reason=str(error))
        except Exception:  # noqa: BLE001 - whatever it is, the other jobs go on
            _log.exception("the job could not be run")
        if delivery.message:
            self._settled.append((delivery.message, settle))
            if len(self._settled) == 1:
                os.write(self._wake, b".")

    def _slots_of(self, queue: str) -> Slots:
        if queue not in self._slots:
            self._slots[queue] = Slots(queue, int(self.limit or 1))
        return self._slots[queue]

    async def _take_and_run(self, delivery: Delivery, interval: float) -> bool:
        """Run a job; return whether its message is to be given back to the broker."""
        if self.stopping:
            return True
        task = delivery.task
        limit = float(task.time_limit or self.app.conf.task_time_limit)
        held = Held(delivery.job_id, task.kind, limit, Taken("", 0, 0, None, {}))
        while not (answer := await self._take(delivery, held, interval)):
            # The message stays here meanwhile: a broker may give up one that comes back often.
            await asyncio.sleep(PAUSE)
            if self.stopping:
                return True
        if not isinstance(answer, Taken):
            self._leave(delivery, answer)
            return False
        held.taken = answer
        if held.taken.lost < SUSPECT:
            return await self._run(delivery, held)
        if self._alone.locked():
            due = time.time() + 1
            await execution.give_back(held, self._kept, due)
            self._start_later(delivery, due)
            return False
        async with self._alone:
            # Those that were taken in the same moment are given back before this one begins.
            await asyncio.sleep(ALONE_AFTER)
            return await self._run(delivery, held)

    async def _take(
        self, delivery: Delivery, held: Held, interval: float
    ) -> Taken | Later | str | None:
        """Take the job, unless another worker has it or it waits; None if Redis did not answer."""
        redelivered = bool(delivery.message and _redelivered(delivery.message))
        lease_timeout = (
            records.LEASE_TIMEOUT_WHEN_REDELIVERED if redelivered else records.LEASE_TIMEOUT
        )
        record = _record_of(delivery) if delivery.task.native else None
        step = records.take(delivery.job_id, held.owner, lease_timeout, interval, record)
        try:
            answer = await self._kept.run(step)
            if answer == "running" and redelivered:
                await asyncio.sleep(lease_timeout)
                answer = await self._kept.run(step)
        except RedisError as error:
            _log.warning("the records cannot be reached: %s", error)
            return None
        return answer

    def _leave(self, delivery: Delivery, answer: Later | str) -> None:
        """Do what follows for a job that cannot be taken now."""
        match answer:
            case Later():
                self._start_later(delivery, answer.due)
            case "poison":
                _log.error("given up: workers died of it")
            case "unknown":
                raise NoJob(f"There is no record of a job {delivery.job_id}.")
            case _:
                _log.info("skipped: the job is %s", answer)

    async def _run(self, delivery: Delivery, held: Held) -> bool:
        begun = time.monotonic()
        self._leases.held[held.job_id] = held
        try:
            try:
                outcome = await self._outcome(delivery, held)
            except Exception as error:  # noqa: BLE001 - whatever it is, the job keeps it
                _log.exception("failed")
                outcome = Outcome(JobState.FAILED, error=describe(error))
            if outcome is None:
                _log.warning("stopped: %s", held.status)
                if held.status == "give back":
                    await execution.give_back(held, self._kept)
                return held.status == "give back"
            await execution.write_outcome(held, self._kept, outcome)
        finally:
            del self._leases.held[held.job_id]
        if outcome.state is JobState.SUCCEEDED:
            _log.info("%s succeeded in %.3f s", held.kind, time.monotonic() - begun)
        elif outcome.state is JobState.QUEUED:
            self._start_later(delivery, outcome.due)
        return False

    async def _outcome(self, delivery: Delivery, held: Held) -> Outcome | None:
        """Run a job; return None if it is to be given back, or is somebody else's."""
        held.work = asyncio.current_task()
        try:
            if delivery.task.native:
                return await self._run_native(delivery, held)
            return await execution.run_definition(registry().kinds[held.kind], held, self._kept)
        except asyncio.CancelledError:
            if held.status == "held":
                return Outcome(JobState.FAILED, error="CancelledError: raised by the job itself")
            return Outcome(JobState.CANCELLED) if held.status == "cancel" else None
        finally:
            if held.work and held.work.cancelling():
                held.work.uncancel()
            held.work = None

    async def _run_native(self, delivery: Delivery, held: Held) -> Outcome:
        call = Call(**json.loads(held.taken.input))
        run = NativeRun(held.job_id)
        work = self._loop.run_in_executor(None, _trace, delivery, call, run)
        done, _ = await asyncio.wait({work}, timeout=held.timeout)
        if not done:
            _log.warning("the thread goes on: nothing can stop a native task")
            error = f"TimeoutError: not done within {held.timeout:g} seconds"
            return Outcome(JobState.FAILED, error=error)
        value, problem = work.result()
        if run.again and problem and problem.state == RETRY:
            due, retries = run.due or time.time(), run.again.retries
            error = describe(problem.retval)
            return Outcome(JobState.QUEUED, None, error, due, retries, run.again.text)
        if problem and problem.state != IGNORED:
            return Outcome(JobState.FAILED, error=describe(value.exception))
        try:
            result = None if problem else to_json(value, f"The result of {held.kind}")
        except InvalidResult as error:
            return Outcome(JobState.FAILED, error=describe(error))
        return Outcome(JobState.SUCCEEDED, result=result)

    def _start_later(self, delivery: Delivery, due: float) -> None:
        """Run a job again when it is due; if that is not soon, the sweep sends a message then."""
        pause = due - time.time()
        if pause < SOON and not self.stopping:
            again = Delivery(delivery.job_id, delivery.task, delivery.queue)
            self._loop.call_later(max(0.0, pause), self._start, again)


def _trace(delivery: Delivery, call: Call, run: NativeRun) -> tuple[Any, Any]:
    """Run a native task by Celery's own means, in this thread; return its result or its problem."""
    logs.job_id.set(delivery.job_id)
    current_run.set(run)
    request: dict[str, Any] = {}
    if delivery.message:
        *_, embedded = delivery.message.decode()
        request = {**(delivery.message.headers or {}), **embedded}
    request |= {
        "id": delivery.job_id,
        "task": delivery.task.name,
        "args": call.args,
        "kwargs": call.kwargs,
        "retries": call.retries,
        "is_eager": False,
    }
    task: Any = delivery.task
    value, problem, *_ = task.__trace__(delivery.job_id, call.args, call.kwargs, request)
    return value, problem


def _record_of(delivery: Delivery) -> Record | None:
    """Return the record of a native task that another program sent, without a record."""
    if not delivery.message:
        return None
    try:
        args, kwargs, _embedded = delivery.message.decode()
        return delivery.task.record(delivery.job_id, Call([*args], {**kwargs}), delivery.queue)
    except Exception as error:
        raise NoJob(f"Its body is no call of a task: {type(error).__name__}: {error}") from error


def _is_id(value: object) -> bool:
    """Tell whether a job can have this id; one that is no UTF-8 cannot be sent to Redis."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_ID and _is_utf8(value)


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _redelivered(message: Message) -> bool:
    headers: Any = message.headers
    return bool(message.delivery_info.get("redelivered") or headers.get("redelivered"))
