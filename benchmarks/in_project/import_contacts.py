"""Import a file by the project's own service, and print what that took as JSON."""

import asyncio
import json
import resource
import sys
import time

from internal.config import get_settings
from internal.services.contacts import import_contacts


async def main() -> None:
    """Import the file whose place in the storage is given."""
    done, longest, last = 0, 0.0, time.perf_counter()
    begun = last
    async for rows, _total in import_contacts(sys.argv[1], "benchmark", get_settings()):
        done = rows
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "rows": done,
        "seconds": last - begun,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss / 1024,
        "longest step": longest,
    }
    print(json.dumps(result))


asyncio.run(main())
