"""The worker's entry point: `python -m internal.workers.main`."""

import asyncio
import logging
import os
import signal

from temporalio.service import RPCError
from temporalio.worker import Worker

from internal.config import Settings, get_settings
from internal.logs import configure_logging
from internal.workers.connection import connect
from internal.workers.schedules import schedule_clean_up
from internal.workers.worker import build_worker

MAX_PAUSE = 2.0
"""The longest pause, in seconds, between two attempts to reach the server."""

_log = logging.getLogger(__name__)


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop` is set; a server or a namespace that is not there is waited for."""
    pause = 0.25
    while not stop.is_set():
        try:
            worker = await _prepare(settings)
            pause = 0.25
            await _run(worker, stop)
        except (RPCError, RuntimeError) as error:
            _log.warning("no connection to Temporal, again in %.2f s: %s", pause, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)


async def _prepare(settings: Settings) -> Worker:
    client = await connect(settings)
    await schedule_clean_up(client, settings)
    return build_worker(client, settings)


async def _run(worker: Worker, stop: asyncio.Event) -> None:
    _log.info("working on the task queue %s", worker.task_queue)
    running = asyncio.create_task(worker.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if stop.is_set():
        _log.info("stopping: no new work; what runs may finish")
        await worker.shutdown()
    await running


async def _main(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await work(settings, stop)
    _log.info("stopped")


def main() -> None:
    """Run the worker until SIGTERM or SIGINT."""
    settings = get_settings()
    configure_logging(settings)
    asyncio.run(_main(settings))
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
