"""Celery's scheduler, with three changes: it names its jobs, it is patient, it shows that it lives."""

import logging
import time
from typing import Any

from celery.beat import PersistentScheduler, ScheduleEntry

from internal.celery_upkeep import alive_file
from internal.config import get_settings
from internal.job_types import EngineUnavailable

PAUSE = 5.0

_log = logging.getLogger(__name__)


class Scheduler(PersistentScheduler):
    """A scheduler of which a second one, started by mistake, does no job twice."""

    def setup_schedule(self) -> None:
        """Open the schedule's file, in a folder that may not be there yet."""
        get_settings().data_dir.mkdir(parents=True, exist_ok=True)
        super().setup_schedule()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due, and show that this was done."""
        alive_file("beat").touch()
        pause: float = super().tick(*args, **kwargs)
        return pause

    def apply_async(self, entry: ScheduleEntry, *args: Any, **kwargs: Any) -> Any:
        """Send one job; its id says for when it was scheduled, and no id is done twice."""
        schedule: Any = entry.schedule
        last_time, step, _ = schedule.remaining_delta(entry.last_run_at)
        job_id = f"{entry.name}-{last_time + step:%Y%m%dT%H%M}"
        entry.options = {**(entry.options or {}), "task_id": job_id}
        while True:
            try:
                return super().apply_async(entry, *args, **kwargs)
            except Exception as error:
                # The next time may be tomorrow: wait for the engine instead.
                if not isinstance(error.__cause__ or error.__context__, EngineUnavailable):
                    raise
                _log.warning("%s has to wait: %s", entry.name, error)
                alive_file("beat").touch()
                time.sleep(PAUSE)
