"""A job that does what only `def run` may do."""

import time

from internal.runner import Job, JobContext
from internal.runner.watchdog import LIMIT


class Blocking(Job):
    """Block the event loop."""

    kind = "test-blocking"

    async def run(self, ctx: JobContext) -> None:
        """Wait, and let nothing else run."""
        time.sleep(LIMIT + 1)  # noqa: ASYNC251 - this is the mistake
