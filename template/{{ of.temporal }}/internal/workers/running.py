"""How the worker runs: it waits for the server, works, and finishes what it began."""

import asyncio
import logging
import signal
import sys
from contextlib import suppress
from typing import Any

from pydantic import ValidationError
from temporalio import activity, workflow
from temporalio.service import RPCError
from temporalio.worker import Worker

from internal.config import Settings, get_settings
from internal.logs import configure_logging
from internal.workers.connection import connect
from internal.workers.health import Health
from internal.workers.schedules import schedule_clean_up
from internal.workers.worker import build_worker, check_registration

MIN_PAUSE = 0.25
MAX_PAUSE = 2.0
"""The shortest and the longest pause, in seconds, between two attempts to reach the server."""

_log = logging.getLogger(__name__)


def check() -> str | None:
    """Return what is wrong with the settings, the workflows or the activities, if anything is."""
    try:
        configure_logging(get_settings())
        asyncio.run(check_registration())
    except (ValidationError, TypeError, RuntimeError) as error:
        return f"{error}\n{error.__cause__ or ''}".strip()
    return None


def run() -> int:
    """Work until SIGTERM or SIGINT, and return the exit code."""
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
    async with health.serve(settings.worker_health_port), asyncio.TaskGroup() as ending:
        while not stop.is_set():
            try:
                preparing = asyncio.create_task(_prepare(settings, schedule=not scheduled))
                if not await _is_done(preparing, stop):
                    preparing.cancel()
                    break
                worker = await preparing
                pause, scheduled = MIN_PAUSE, True
                running = asyncio.create_task(worker.run())
                async with health.watch(worker) as back:
                    _log.info("working on the task queue %s", worker.task_queue)
                    if await _is_done(running, stop, back):
                        await running
                # Told to stop, or the server is back: then the next worker need not wait for this.
                ending.create_task(_end(worker, running))
            except (RPCError, RuntimeError) as error:
                _log.warning("no work from Temporal, again in %.2f s: %s", pause, error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause)
                pause = min(2 * pause, MAX_PAUSE)


async def _prepare(settings: Settings, *, schedule: bool) -> Worker:
    client = await connect(settings)
    if schedule:
        await schedule_clean_up(client, settings)
    return build_worker(client, settings)


async def _is_done(task: asyncio.Task[Any], *events: asyncio.Event) -> bool:
    """Wait for a task, or for one of the events, and say whether the task is done."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait({task, *waiting}, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()
    return task.done()


async def _end(worker: Worker, running: asyncio.Task[None]) -> None:
    _log.info("a worker takes no more work, and lets what runs finish")
    await worker.shutdown()
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
