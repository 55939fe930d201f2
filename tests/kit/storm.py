"""Thousands of jobs while workers are killed and the engine is restarted.

Each job adds a line to a ledger together with a note under its key, as the generated project's
services do; each workflow adds three, in steps with a pause between them. Workers are killed
(SIGKILL) at random moments; so is the engine, which is the broker or Temporal's server.

The moments are spread over the work that is done. Jobs are enqueued only so far ahead of them that
a fast machine cannot be ready before the last fault.
"""

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from tests.kit.answers import Answers
from tests.kit.engines import Engine, Running, engine
from tests.kit.processes import user_environment
from tests.kit.projects import migrate, render
from tests.kit.repository import BIN, IN_PROJECT

__all__ = ["Result", "storm"]

WORKERS = 2
BATCH = 50
QUIET = 90.0
"""Give up when nothing was done for so many seconds."""

STEPS = {"effect": [""], "resize": [""], "onboard": [".1", ".3", ".4"]}
"""What comes after a job's id in the keys of its effects; a pause has a number, but no effect."""


@dataclass
class Result:
    """What was done in one run, and how often a fault was injected."""

    jobs: int
    kills: int = 0
    restarts: int = 0
    exits: int = 0
    """How many workers have ended of themselves."""
    seconds: float = 0.0
    runs: int = 0
    lost: int = 0
    twice: int = 0
    states: Counter[str] = field(default_factory=Counter)
    """How many jobs are in each state in the end."""


def storm(
    answers: Answers,
    folder: Path,
    *,
    jobs: int,
    kills: int,
    restarts: int,
    kinds: Sequence[str] = ("effect",),
    seed: int | None = None,
) -> Result:
    """Do so many jobs of these kinds under faults, and count what was done.

    `kinds` are some of `STEPS`; the same `seed` gives the same random moments.
    """
    result, dice = Result(jobs), random.Random(seed)
    project = render(folder / "project", {"project_name": "Storm", **answers})
    shutil.copy(IN_PROJECT / "storm_jobs.py", project / "internal/jobs/storm.py")
    settings = user_environment() | {
        "PATH": f"{BIN}:{user_environment()['PATH']}",
        "PYTHONPATH": str(project),
        "TMPDIR": str(folder),
        "CELERY_WORKER_WITHOUT_MINGLE": "1",
    }
    migrate(project)
    with closing(_database(project)) as database:
        database.execute("CREATE TABLE ledger (key TEXT, at REAL)")
    with ExitStack() as stack:
        running = stack.enter_context(engine(answers, project, folder, settings))
        workers = [_worker(project, running, number) for number in range(WORKERS)]
        for worker in workers:
            worker.start()
            stack.callback(worker.kill)
        sender = stack.enter_context(_Sender(project, running))
        begun = time.monotonic()
        portions = _portions(jobs, kills + restarts + 1)
        gate = threading.Semaphore(max(2, len(portions) // 20))
        sending = threading.Thread(target=_send, args=(sender, kinds, portions, gate))
        sending.start()
        faults = ["kill"] * kills + ["restart"] * restarts
        dice.shuffle(faults)
        expected = _expected(jobs, kinds)
        try:
            _inject(faults, project, running, workers, len(expected), result, dice, gate)
        finally:
            gate.release(len(portions))
            sending.join()
        result.seconds = time.monotonic() - begun
        result.states = sender.states(jobs)
    done = _ledger(project)
    result.lost = sum(done[key] == 0 for key in expected)
    result.twice = sum(times > 1 for times in done.values())
    result.runs = len((project / "data/runs.txt").read_text().splitlines())
    return result


class _Sender:
    """A process of the project that enqueues and counts its jobs."""

    def __init__(self, project: Path, running: Engine) -> None:
        self._process = subprocess.Popen(
            [sys.executable, IN_PROJECT / "storm_sender.py"],
            cwd=project, env=running.settings,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, *command: object) -> Any:
        """Return the answer to a command; what is refused is asked again each second."""
        assert self._process.stdin
        assert self._process.stdout
        while True:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
            if "value" in answer:
                return answer["value"]
            print(f"refused: {answer['error']}"[:300], file=sys.stderr)
            time.sleep(1)

    def states(self, jobs: int) -> Counter[str]:
        """Return how many jobs are in each state, as soon as all have ended or nothing changes."""
        last: Counter[str] = Counter()
        changed = time.monotonic()
        while time.monotonic() - changed < QUIET:
            found = Counter(self.ask("states"))
            if sum(found[state] for state in ("succeeded", "failed", "cancelled")) >= jobs:
                return found
            if found != last:
                last, changed = found, time.monotonic()
            time.sleep(1)
        return last


def _worker(project: Path, running: Engine, number: int) -> Running:
    named = ["-n", f"{number}@%h"] if "celery" in running.worker else []
    return Running(f"worker-{number}", [*running.worker, *named], project, running.settings)


def _portions(jobs: int, number: int) -> list[range]:
    """Divide the numbers of the jobs into so many portions of about the same size."""
    ends = [jobs * index // number for index in range(number + 1)]
    return [range(first, last) for first, last in pairwise(ends)]


def _send(
    sender: _Sender, kinds: Sequence[str], portions: list[range], gate: threading.Semaphore
) -> None:
    """Enqueue each portion of the jobs when the gate opens for it."""
    for portion in portions:
        gate.acquire()
        for first in portion[::BATCH]:
            sender.ask("enqueue", first, min(BATCH, portion.stop - first), kinds)


def _inject(
    faults: list[str],
    project: Path,
    running: Engine,
    workers: list[Running],
    effects: int,
    result: Result,
    dice: random.Random,
    gate: threading.Semaphore,
) -> None:
    """Kill workers and restart the engine at random moments until all effects are there.

    Each portion of the work but the last has one moment, at which the gate opens for another portion.
    """
    share = effects / (len(faults) + 1)
    moments = [(portion + dice.uniform(0.1, 0.9)) * share for portion in range(len(faults))]
    last, changed = 0, time.monotonic()
    while moments or last < effects:
        time.sleep(0.2)
        done = _ledger(project).total()
        if done != last:
            last, changed = done, time.monotonic()
        if time.monotonic() - changed > QUIET:
            return
        for worker in workers:
            if worker.ended:
                result.exits += 1
                worker.start()
        if moments and done >= moments[0]:
            moments.pop(0)
            gate.release()
            if faults.pop() == "kill":
                victim = dice.choice(workers)
                victim.kill()
                victim.start()
                result.kills += 1
            else:
                running.broker.kill()
                time.sleep(dice.uniform(0, 2))
                running.broker.start()
                result.restarts += 1


def _expected(jobs: int, kinds: Sequence[str]) -> list[str]:
    """Return the keys under which the ledger must have a line in the end."""
    return [
        f"{kind}-{job}{step}"
        for job in range(jobs)
        for kind in [kinds[job % len(kinds)]]
        for step in STEPS[kind]
    ]


def _ledger(project: Path) -> Counter[str]:
    """Return how often there was an effect under each key."""
    with closing(_database(project)) as database:
        return Counter(key for (key,) in database.execute("SELECT key FROM ledger"))


def _database(project: Path) -> sqlite3.Connection:
    return sqlite3.connect(project / "data/app.db", timeout=30)
