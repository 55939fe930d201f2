"""A job with a schedule, for the scheduler's tests."""

from internal.runner import Job, JobContext, Policy


class Daily(Job):
    """Do nothing, every night."""

    kind = "test-daily"
    policy = Policy(schedule="0 4 * * *")

    async def run(self, ctx: JobContext) -> str:
        """Return the key, which names the time that was due."""
        return ctx.key
