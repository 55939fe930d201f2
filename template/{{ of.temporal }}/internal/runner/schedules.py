"""What is enqueued by the clock: a Temporal schedule for each job that has one.

Every worker brings them up to date as it starts.
"""

import logging
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
from internal.runner.queues import task_queue
from internal.runner.registry import registry

OWNER = "task_queue"
"""The memo that says which project made a schedule."""

CATCH_UP = timedelta(hours=12)
"""What was due while the server was away is made up for, unless it is older than this."""

_log = logging.getLogger(__name__)


def schedule_id(settings: Settings, kind: str) -> str:
    """Return the id of the schedule of a job."""
    return f"{settings.temporal_task_queue}-{kind}"


async def update_schedules(client: Client, settings: Settings) -> None:
    """Create and update this project's schedules, and delete those of jobs that have none any more.

    A paused schedule stays paused; schedules that somebody else made are left alone.
    """
    ids = set()
    for kind, cron in registry().schedules.items():
        ids.add(schedule_id(settings, kind))
        await _update(client, settings, kind, cron)
    async for schedule in await client.list_schedules():
        if schedule.id.startswith(f"{settings.temporal_task_queue}-") and schedule.id not in ids:
            owner = await schedule.memo_value(OWNER, None, type_hint=str)
            if owner == settings.temporal_task_queue:
                await client.get_schedule_handle(schedule.id).delete()
                _log.info("deleted the schedule %s, which no job has any more", schedule.id)


async def _update(client: Client, settings: Settings, kind: str, cron: str) -> None:
    definition = registry().kinds[kind]
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            kind,
            definition().input(),
            # With the time that is due: one run for each, however often it is asked for.
            id=kind,
            task_queue=task_queue(settings, definition.policy.queue),
            execution_timeout=definition.policy.deadline,
        ),
        spec=ScheduleSpec(cron_expressions=[cron]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
    )

    def update(existing: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule.state = existing.description.schedule.state
        return ScheduleUpdate(schedule)

    name = schedule_id(settings, kind)
    try:
        await client.create_schedule(name, schedule, memo={OWNER: settings.temporal_task_queue})
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(name).update(update)
