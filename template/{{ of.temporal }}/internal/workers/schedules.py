"""What runs by the clock: a Temporal schedule, made by every worker as it starts."""

from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from internal.config import Settings
from internal.job_types import CleanUp
from internal.workers.workflows import CleanUpWorkflow


async def schedule_clean_up(client: Client, settings: Settings) -> None:
    """Make the clean-up's schedule, or bring it up to date; a paused one stays paused."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            CleanUpWorkflow.run, id=CleanUp.kind, task_queue=settings.temporal_task_queue
        ),
        spec=ScheduleSpec(cron_expressions=[settings.cleanup_schedule]),
        policy=SchedulePolicy(
            overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(hours=12)
        ),
    )

    def update(existing: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule.state = existing.description.schedule.state
        return ScheduleUpdate(schedule)

    schedule_id = f"{settings.temporal_task_queue}-clean-up"
    try:
        await client.create_schedule(schedule_id, schedule)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(schedule_id).update(update)
