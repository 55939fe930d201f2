"""Checks that the names of queues in jobs and in settings fit together."""

from collections.abc import Collection

from internal.config import Settings
from internal.runner.queues import DEFAULT
from internal.runner.registry import file_of, registry


def unknown(settings: Settings, queues: Collection[str] = ()) -> list[str]:
    """Return a sentence for each queue in the settings, or in `--queues`, that no job is in."""
    known = {*registry().queues, DEFAULT}
    return [
        f"{name} names the queue {queue!r}, to which no job is enqueued."
        for name, named in (
            ("WORKER_QUEUES", settings.worker_queues or ()),
            ("QUEUE_CONCURRENCY", settings.queue_concurrency),
            ("QUEUE_RATE", settings.queue_rate),
            ("--queues", queues),
        )
        for queue in sorted(set(named) - known)
    ]


def not_taken(queues: Collection[str]) -> list[str]:
    """Return a sentence for each job in a queue that is not among those of all workers."""
    return [
        f"{file_of(definition)}: {definition.__name__} is enqueued to the queue"
        f" {definition.policy.queue!r}, which no worker takes."
        for definition in registry().kinds.values()
        if definition.policy.queue not in queues
    ]


def left_to_others(settings: Settings) -> list[str]:
    """Return a sentence for each queue with jobs that this worker leaves to other ones."""
    taken = settings.worker_queues
    return [
        f"WORKER_QUEUES leaves the queue {queue!r} to other workers."
        for queue in registry().queues
        if taken is not None and queue not in taken
    ]
