"""The queues of this project, and the Temporal task queue of each."""

from internal.config import Settings
from internal.runner.registry import registry

DEFAULT = "default"


def task_queue(settings: Settings, queue: str) -> str:
    """Return the name of a queue's task queue."""
    prefix = settings.temporal_task_queue
    # Names of projects and queues have hyphens, so "shop-slow" could be another project.
    return prefix if queue == DEFAULT else f"{prefix}_{queue}"


def all_queues() -> list[str]:
    """Return the queues of all jobs, and that of native workflows."""
    return sorted({DEFAULT, *registry().queues})


def queues_of_worker(settings: Settings) -> list[str]:
    """Return the queues from which this worker takes jobs."""
    return sorted(settings.worker_queues or all_queues())


def concurrency(settings: Settings, queue: str) -> int:
    """Return how many jobs of a queue run side by side in a worker."""
    return settings.queue_concurrency.get(queue, settings.worker_concurrency)
