"""Celery's scheduler: it takes the schedules of the jobs, and keeps their last runs in Redis."""

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import beat
from celery.schedules import BaseSchedule, schedstate
from cronsim import CronSim
from redis import RedisError

from internal.runner import celery_check, records
from internal.runner.errors import EngineUnavailable
from internal.runner.liveness import alive_file
from internal.runner.registry import registry
from internal.runner.task import task_name

PAUSE = 5.0

_log = logging.getLogger(__name__)


class Cron(BaseSchedule):
    """A cron expression in UTC, as a policy has it."""

    def __init__(self, expression: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.expression = expression

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Tell whether a time has passed since the last run, and how many seconds are left."""
        now = datetime.now(UTC)
        due = next(CronSim(self.expression, last_run_at.astimezone(UTC))) <= now
        following = next(CronSim(self.expression, now))
        return schedstate(due, (following - now).total_seconds())

    def latest(self) -> datetime:
        """Return the newest of the times that have passed."""
        passed = CronSim(self.expression, datetime.now(UTC) + timedelta(seconds=1), reverse=True)
        return next(passed)

    def __eq__(self, other: object) -> bool:
        """Tell whether the expression is the same."""
        return isinstance(other, Cron) and other.expression == self.expression

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Return it for logs."""
        return f"<cron {self.expression}>"


def schedules() -> dict[str, dict[str, Any]]:
    """Return the schedules of the jobs, as Celery wants them."""
    return {
        kind: {"task": task_name(kind), "schedule": Cron(expression)}
        for kind, expression in registry().schedules.items()
    }


class Scheduler(beat.Scheduler):
    """A scheduler that keeps the last run of each job in Redis, so it can restart on any machine.

    What was due while none ran is done once, when one runs again. A second one, started by mistake,
    does no job twice.
    """

    _loaded = False

    def setup_schedule(self) -> None:
        """Check and take the schedules of the jobs, and those of Celery's configuration."""
        if problems := celery_check.schedules():
            raise SystemExit("\n".join(problems))
        self.app.conf.beat_schedule = {**schedules(), **self.app.conf.beat_schedule}
        super().setup_schedule()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due, and show that this was done."""
        alive_file("beat").touch()
        try:
            self._load_last_runs()
        except RedisError as error:
            _log.warning("the schedules have to wait for Redis: %s", error)
            return PAUSE
        pause: float = super().tick(*args, **kwargs)
        return pause

    def apply_async(self, entry: beat.ScheduleEntry, *args: Any, **kwargs: Any) -> Any:
        """Send one job; its id says for when it was scheduled, and no id is done twice."""
        schedule = entry.schedule
        if isinstance(schedule, Cron):
            job_id = f"{entry.name}-{schedule.latest():%Y%m%dT%H%M}"
            entry.options = {**(entry.options or {}), "task_id": job_id}
        while True:
            try:
                sent = super().apply_async(entry, *args, **kwargs)
            except Exception as error:
                # The next time may be tomorrow: wait for the engine instead.
                if not isinstance(error.__cause__ or error.__context__, EngineUnavailable):
                    raise
                _log.warning("%s has to wait: %s", entry.name, error)
                alive_file("beat").touch()
                time.sleep(PAUSE)
            else:
                self._save_last_run(str(entry.name))
                return sent

    def _load_last_runs(self) -> None:
        """Load, once, when each job was last sent; one that is new counts as sent now."""
        if self._loaded:
            return
        redis: Any = records.connection()
        entries: dict[str, Any] = self.schedule
        with redis.pipeline() as commands:
            for name, entry in entries.items():
                commands.hsetnx(_last_runs(), name, entry.last_run_at.isoformat())
            commands.hgetall(_last_runs())
            known: dict[str, str] = commands.execute()[-1]
        if gone := known.keys() - entries.keys():
            redis.hdel(_last_runs(), *gone)
        for name, entry in entries.items():
            entry.last_run_at = datetime.fromisoformat(known[name])
        self._loaded = True

    def _save_last_run(self, name: str) -> None:
        entry: Any = self.schedule[name]
        redis: Any = records.connection()
        try:
            redis.hset(_last_runs(), name, entry.last_run_at.isoformat())
        except RedisError as error:
            # The next scheduler sends it again, under the same id.
            _log.warning("the last run of %s could not be saved: %s", name, error)


def _last_runs() -> str:
    return f"{records.prefix()}last-runs"
