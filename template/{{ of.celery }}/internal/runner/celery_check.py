"""Checks of a deployment, each of which ends with 0 or says what is wrong.

python -m internal.runner.celery_check          # jobs, queues and schedules fit; needs no broker
python -m internal.runner.celery_check --queues default slow   # the same; all workers take these
python -m internal.runner.celery_check worker   # the worker here receives, and has its database
python -m internal.runner.celery_check beat     # the scheduler on this machine makes its rounds
"""

import sys
from collections.abc import Sequence

from internal.celery_app import app
from internal.config import get_settings
from internal.runner import queue_check
from internal.runner.liveness import age, alive_file, away_file
from internal.runner.registry import registry

MAX_AGE = 60.0
"""After so many seconds without a sign of life, a process counts as stuck."""


def configuration(queues: Sequence[str] | None = None) -> list[str]:
    """Return the problems of the jobs, queues and schedules, as one sentence each.

    `queues` are those that the workers of a deployment take together.
    """
    return [
        *registry().problems,
        *queue_check.unknown(get_settings(), queues or ()),
        *(queue_check.not_taken(queues) if queues else ()),
        *schedules(),
    ]


def schedules() -> list[str]:
    """Return a sentence for each schedule of `celery_app.py` that names no task."""
    app.loader.import_default_modules()
    return [
        f"The schedule {name} names {entry['task']}, which is no task."
        for name, entry in app.conf.beat_schedule.items()
        if entry["task"] not in app.tasks
    ]


def alive(role: str) -> list[str]:
    """Return what is wrong with the worker or beat on this machine."""
    seconds = age(role)
    if seconds is None:
        return [f"There is no {alive_file(role)}: {role} has not started."]
    return [f"{role} was last seen alive {seconds:.0f} s ago."] if seconds > MAX_AGE else []


def database_is_away() -> list[str]:
    """Return what the worker on this machine says of its database, if that is away."""
    try:
        return [away_file().read_text().strip()]
    except FileNotFoundError:
        return []


def main() -> None:
    """Run the check that the command line asks for."""
    match sys.argv[1:]:
        case []:
            for sentence in queue_check.left_to_others(get_settings()):
                print(sentence)
            problems = configuration()
        case ["--queues", _, *_]:
            problems = configuration(sys.argv[2:])
        case ["worker"]:
            problems = alive("worker") + database_is_away()
        case ["beat"]:
            problems = alive("beat")
        case _:
            sys.exit(__doc__)
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
