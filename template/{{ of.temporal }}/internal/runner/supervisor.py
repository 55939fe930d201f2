"""How the worker runs: it waits for the server, works, and finishes what it began."""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from pydantic import ValidationError
from temporalio import activity, workflow
from temporalio.service import RPCError
from temporalio.worker import Worker

from internal.config import Settings, get_settings
from internal.logs import configure_logging
from internal.runner import client, outbox, queue_check
from internal.runner.connection import connect
from internal.runner.health import Health
from internal.runner.jobs_loop import jobs_loop
from internal.runner.native import undefined_activities
from internal.runner.registry import registry
from internal.runner.schedules import update_schedules
from internal.runner.worker import build_workers, check_native

MIN_PAUSE = 0.25
MAX_PAUSE = 2.0
"""The shortest and the longest pause, in seconds, between two attempts to reach the server."""

_log = logging.getLogger(__name__)


def check(queues: Sequence[str] = ()) -> int:
    """Say what would keep jobs from running, without a server, and return the exit code.

    `queues` are those that the workers of a deployment take together.
    """
    left: list[str] = []
    try:
        settings = get_settings()
        configure_logging(settings)
        problem = asyncio.run(check_native())
        problems = [
            *([problem] if problem else undefined_activities()),
            *registry().problems,
            *queue_check.unknown(settings, queues),
            *(queue_check.not_taken(queues) if queues else ()),
        ]
        left = [] if queues else queue_check.left_to_others(settings)
    except ValidationError as error:
        problems = [str(error)]
    if problems:
        print("The worker is not complete:", *problems, sep="\n", file=sys.stderr)
        return 1
    print("The worker is complete.", *left, sep="\n", flush=True)
    return 0


def run() -> int:
    """Work until SIGTERM or SIGINT, and return the exit code."""
    try:
        configure_logging(get_settings())
        problem = asyncio.run(check_native())
    except ValidationError as error:
        problem = str(error)
    if problem:
        print(f"The worker cannot start: {problem}", file=sys.stderr)
        return 1
    # The job's id and, in JSON, all the rest are in the log without that.
    activity.logger.activity_info_on_message = False
    workflow.logger.workflow_info_on_message = False
    try:
        asyncio.run(_work_until_signal(get_settings()))
    except Exception:  # noqa: BLE001 - whatever it is, it ends the process
        _log.exception("the worker failed")
        return 1
    finally:
        logging.shutdown()
        sys.stderr.flush()
    return 0


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop` is set; a server or a namespace that is not there is waited for."""
    health, pause, scheduled = Health(), MIN_PAUSE, False
    async with (
        health.serve(settings.worker_health_port),
        _relay(),
        asyncio.TaskGroup() as ending,
    ):
        while not stop.is_set():
            try:
                preparing = asyncio.create_task(_prepare(settings, schedule=not scheduled))
                if not await _is_done(preparing, stop):
                    preparing.cancel()
                    break
                workers = await preparing
                pause, scheduled = MIN_PAUSE, True
                running = asyncio.create_task(_run(workers))
                async with health.watch(workers) as back:
                    names = ", ".join(worker.task_queue for worker in workers)
                    _log.info("working on the task queues %s", names)
                    if await _is_done(running, stop, back):
                        await running
                # Told to stop, or the server is back: then the next worker need not wait for this.
                ending.create_task(_end(workers, running))
            except (RPCError, RuntimeError) as error:
                _log.warning("no work from Temporal, again in %.2f s: %s", pause, error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause)
                pause = min(2 * pause, MAX_PAUSE)


@asynccontextmanager
async def _relay() -> AsyncIterator[None]:
    """Hand over what is in the outbox, on the event loop of the jobs that put it there."""
    relaying = asyncio.create_task(
        jobs_loop().run(lambda: outbox.relay_until_cancelled(client.enqueue), "the outbox")
    )
    try:
        yield
    finally:
        relaying.cancel()
        await asyncio.wait({relaying})


async def _prepare(settings: Settings, *, schedule: bool) -> list[Worker]:
    connected = await connect(settings)
    if schedule:
        await update_schedules(connected, settings)
    return build_workers(connected, settings)


async def _run(workers: Sequence[Worker]) -> None:
    """Run workers until they are told to stop, or one of them fails: then all end."""
    running = [asyncio.create_task(worker.run()) for worker in workers]
    done, others = await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
    if others:
        await asyncio.gather(*(worker.shutdown() for worker in workers if worker.is_running))
        await asyncio.wait(others)
    for task in done:
        task.result()


async def _is_done(task: asyncio.Task[Any], *events: asyncio.Event) -> bool:
    """Wait for a task, or for one of the events, and say whether the task is done."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait({task, *waiting}, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()
    return task.done()


async def _end(workers: Sequence[Worker], running: asyncio.Task[None]) -> None:
    _log.info("the worker takes no more jobs, and lets those that run finish")
    await asyncio.gather(*(worker.shutdown() for worker in workers))
    # How it failed on the way, if it did, the SDK has logged.
    with suppress(RPCError, RuntimeError):
        await running


async def _work_until_signal(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await work(settings, stop)
    for number in (signal.SIGTERM, signal.SIGINT):
        # The loop would leave them as they were, and another one could still end us otherwise.
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
    _log.info("stopped")
