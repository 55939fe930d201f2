"""Lists jobs in pages, as the API does; run in a generated project.

Usage: python temporal_list_jobs.py TIMES; prints JSON: for each list, the seconds of each page.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

from internal.runner import EngineUnavailable, JobState, lifespan, list_jobs

LISTS: dict[str, dict[str, Any]] = {
    "all": {},
    "of a kind": {"kind": "email"},
    "queued": {"state": JobState.QUEUED},
    "running": {"state": JobState.RUNNING},
    "failed": {"state": JobState.FAILED},
}


async def until_listed() -> None:
    """Wait until the server answers."""
    while True:
        try:
            await list_jobs()
        except EngineUnavailable:
            await asyncio.sleep(0.5)
        else:
            return


async def main(times: int) -> None:
    """Time the first page of each list, and pages further on."""
    seconds: dict[str, list[float]] = {name: [] for name in [*LISTS, "all, page by page"]}
    async with lifespan():
        await until_listed()
        for _ in range(times):
            for name, options in LISTS.items():
                start = time.perf_counter()
                await list_jobs(**options)
                seconds[name].append(time.perf_counter() - start)
        cursor = None
        for _ in range(times):
            start = time.perf_counter()
            cursor = (await list_jobs(cursor=cursor)).cursor
            seconds["all, page by page"].append(time.perf_counter() - start)
    print(json.dumps(seconds))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
    sys.stdout.flush()
    # Threads of the SDK can crash an interpreter that ends in order.
    os._exit(0)
