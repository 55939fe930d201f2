"""A job that does what only `def run` may do."""

import time

from internal.runner import Job, JobContext


class Blocking(Job):
    """Block the event loop."""

    kind = "test-blocking"

    async def run(self, ctx: JobContext) -> None:
        """Wait, and let nothing else run."""
        time.sleep(0.5)  # noqa: ASYNC251 - this is the mistake
