"""A job that does nothing, for the generated project's `internal/jobs`."""

from internal.runner import Job, JobContext


class Nothing(Job):
    """Do nothing."""

    kind = "nothing"

    async def run(self, ctx: JobContext) -> None:
        """Do nothing."""
