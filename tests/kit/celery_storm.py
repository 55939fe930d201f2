"""Thousands of Celery jobs while workers are killed and the broker is restarted.

Each job adds a line to a ledger together with a note under its key, as the generated project's
services do; each workflow adds three, in steps with a pause between them. Workers are killed
(SIGKILL) at random moments, the broker as well.

The moments are spread over the work that is done. Jobs are enqueued one portion ahead of them, so that
a fast machine cannot be ready before the last fault.
"""

import random
import sqlite3
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.kit.brokers import Server, redis_and_broker
from tests.kit.celery_project import Project, Refused, Worker, generate

__all__ = ["Result", "storm"]

WORKERS = 2
BATCH = 50
QUIET = 90.0
"""Give up when no job was done for so many seconds."""


@dataclass
class Result:
    """What was done in one run, and how often a fault was injected."""

    broker: str
    jobs: int
    workflows: bool = False
    kills: int = 0
    restarts: int = 0
    exits: int = 0
    seconds: float = 0.0
    runs: int = 0
    lost: int = 0
    twice: int = 0


def storm(
    kind: type[Server],
    folder: Path,
    *,
    jobs: int,
    kills: int,
    restarts: int,
    seed: int | None = None,
    workflows: bool = False,
) -> Result:
    """Do so many jobs while workers and the broker are killed, and count what was done.

    `kind` is the broker's; `workflows` does as many workflows instead; the same `seed` gives the same random moments.
    """
    with ExitStack() as stack:
        redis, broker = stack.enter_context(redis_and_broker(kind, folder))
        project = generate(folder / "sample", broker, redis)
        stack.callback(project.close_console)
        workers = [project.start_worker("-n", f"{number}@%h") for number in range(WORKERS)]
        stack.callback(_stop, workers)
        result = Result(kind.name, jobs, workflows)
        begun = time.monotonic()
        portions = _portions(jobs, kills + restarts + 1)
        gate = threading.Semaphore(2)
        sender = threading.Thread(target=_send, args=(project, workflows, portions, gate))
        sender.start()
        try:
            _inject_faults(project, workers, result, kills, restarts, random.Random(seed), gate)
        finally:
            gate.release(len(portions))
            sender.join()
        result.seconds = time.monotonic() - begun
        _count(project, result)
        return result


def _stop(workers: list[Worker]) -> None:
    for worker in workers:
        worker.stop()


def _portions(jobs: int, number: int) -> list[range]:
    """Divide the numbers of the jobs into so many portions of about the same size."""
    ends = [jobs * index // number for index in range(number + 1)]
    return [range(first, last) for first, last in pairwise(ends)]


def _send(
    project: Project, workflows: bool, portions: list[range], gate: threading.Semaphore
) -> None:
    """Enqueue each portion of the jobs when the gate opens for it.

    What was refused is sent again under its old key.
    """
    kind = "steps" if workflows else "effect"
    for portion in portions:
        gate.acquire()
        for first in portion[::BATCH]:
            while True:
                try:
                    project.ask("enqueue_many", kind, first, min(BATCH, portion.stop - first))
                    break
                except Refused as error:
                    print(f"refused: {error}", file=sys.stderr)
                    time.sleep(1)


def _inject_faults(
    project: Project,
    workers: list[Worker],
    result: Result,
    kills: int,
    restarts: int,
    dice: random.Random,
    gate: threading.Semaphore,
) -> None:
    """Kill workers and restart the broker at random moments until all jobs are done.

    Each portion of the work but the last has one moment, at which the gate opens for another portion.
    """
    faults = ["kill"] * kills + ["restart"] * restarts
    dice.shuffle(faults)
    effects_of_all = len(_expected(result))
    share = effects_of_all / (len(faults) + 1)
    moments = [(portion + dice.uniform(0.1, 0.9)) * share for portion in range(len(faults))]
    last, changed = 0, time.monotonic()
    while moments or last < effects_of_all:
        time.sleep(0.2)
        done = _effects(project)
        if done != last:
            last, changed = done, time.monotonic()
        if time.monotonic() - changed > QUIET:
            return
        for number, worker in enumerate(workers):
            if worker.process.poll() is not None:
                result.exits += 1
                workers[number] = project.start_worker("-n", f"{number}@%h", wait=False)
        if moments and done >= moments[0]:
            moments.pop(0)
            gate.release()
            if faults.pop() == "kill":
                victim = dice.randrange(len(workers))
                workers[victim].kill()
                workers[victim] = project.start_worker("-n", f"{victim}@%h", wait=False)
                result.kills += 1
            else:
                project.broker.kill()
                time.sleep(dice.uniform(0, 2))
                project.broker.start()
                result.restarts += 1


def _expected(result: Result) -> list[str]:
    """Return the keys under which the ledger must have a line in the end."""
    if result.workflows:
        # The pause is the second thing that a workflow asks for.
        return [f"steps-{job}.{step}" for job in range(result.jobs) for step in (1, 3, 4)]
    return [f"effect-{job}" for job in range(result.jobs)]


def _effects(project: Project) -> int:
    """Return the number of jobs that had their effect."""
    return len(_ledger(project))


def _ledger(project: Project) -> Counter[str]:
    """Return how often each job had its effect."""
    path = project.folder / "data/app.db"
    with closing(sqlite3.connect(path, timeout=30)) as database:
        try:
            return Counter(key for (key,) in database.execute("SELECT key FROM ledger"))
        except sqlite3.OperationalError:
            return Counter()


def _count(project: Project, result: Result) -> None:
    """Compare what was done with what was asked for."""
    done = _ledger(project)
    result.lost = sum(done[key] == 0 for key in _expected(result))
    result.twice = sum(times > 1 for times in done.values())
    result.runs = (project.folder / "data/runs.txt").read_text().count(" started ")
