"""Checks of a deployment, each of which ends with 0 or says what is wrong.

python -m internal.celery_check          # tasks, schedule and limits fit; needs no broker
python -m internal.celery_check worker   # the worker on this machine is receiving messages
python -m internal.celery_check beat     # the scheduler on this machine makes its rounds
"""

import math
import sys
import time

from internal import jobs
from internal.celery_app import app
from internal.celery_upkeep import alive_file
from internal.job_types import JobRequest

MAX_AGE = 60.0
"""After so many seconds without a sign of life, a process counts as stuck."""


def configuration() -> list[str]:
    """Return what is wrong with tasks, schedule and limits, a sentence each."""
    app.loader.import_default_modules()
    problems = [
        f"No task is known for {request.__name__}: add it to TASKS in internal/jobs.py."
        for request in JobRequest.__subclasses__()
        if request not in jobs.TASKS
    ]
    problems += [
        f"The schedule names {entry['task']}, which is no task."
        for entry in app.conf.beat_schedule.values()
        if entry["task"] not in app.tasks
    ]
    visibility = app.conf.broker_transport_options.get("visibility_timeout", math.inf)
    problems += [
        f"{task.name} may run for {task.time_limit} s, but after {visibility:.0f} s its message"
        " is delivered again: raise VISIBILITY_TIMEOUT in internal/celery_app.py."
        for task in app.tasks.values()
        if (task.time_limit or app.conf.task_time_limit) >= visibility
    ]
    return problems


def alive(role: str) -> list[str]:
    """Return what is wrong with the worker or beat on this machine."""
    path = alive_file(role)
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return [f"There is no {path}: {role} has not started."]
    return [f"{role} was last seen alive {age:.0f} s ago."] if age > MAX_AGE else []


def main() -> None:
    """Run the check that the command line asks for."""
    match sys.argv[1:]:
        case []:
            problems = configuration()
        case ["worker" | "beat" as role]:
            problems = alive(role)
        case _:
            sys.exit(__doc__)
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
