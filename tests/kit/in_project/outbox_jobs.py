"""A job that belongs to an order: both exist, or neither."""

from datetime import timedelta

from internal.database import insert, transaction
from internal.models.contacts import Contact
from internal.runner import Job, JobContext, Policy


class Confirm(Job):
    """Confirm an order."""

    kind = "confirm"
    policy = Policy(attempts=1_000, max_backoff=timedelta(seconds=2))

    order: str

    async def run(self, ctx: JobContext) -> None:
        """Add a row under the job's key, which is another one for another job."""
        row = insert(Contact).values(email=f"done {ctx.key}", name=self.order)
        async with transaction() as session:
            await session.execute(row.on_conflict_do_nothing())
