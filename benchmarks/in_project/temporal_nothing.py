"""A workflow of one activity that does nothing."""

from datetime import timedelta

from temporalio import activity, workflow


@activity.defn
async def do_nothing() -> None:
    """Do nothing."""


@workflow.defn
class Nothing:
    """Run the one activity."""

    @workflow.run
    async def run(self) -> None:
        """Run it within nine seconds."""
        await workflow.execute_activity(do_nothing, start_to_close_timeout=timedelta(seconds=9))
