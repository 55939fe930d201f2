"""The clean-up, every night."""

from datetime import timedelta

from internal.config import get_settings
from internal.runner import Job, JobContext, Policy
from internal.services.retention import Removed, clean_up


class CleanUp(Job):
    """Remove outbox files, uploads and records that are past their retention."""

    kind = "cleanup"
    policy = Policy(timeout=timedelta(minutes=10), schedule="0 3 * * *")

    async def run(self, ctx: JobContext) -> Removed:
        """Remove what is too old, and return how much that was."""
        return await clean_up(get_settings())
