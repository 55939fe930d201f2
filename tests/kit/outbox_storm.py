"""Jobs that are enqueued in transactions, while everything that takes part is killed.

Each order is a row, and a job that confirms it, in one transaction of a process of its own. That is
killed at one of several moments; the worker, the broker and the database at random ones.
"""

import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.kit.answers import Answers
from tests.kit.processes import CommandFailed, run
from tests.kit.repository import IN_PROJECT
from tests.kit.stack import running
from tests.kit.waiting import until

__all__ = ["Result", "storm"]

SENDERS = 4
SETTLED = 150.0
"""How long, in seconds, the jobs of the last orders may take after the last kill."""


@dataclass
class Result:
    """What there was in the end."""

    senders: Counter[str] = field(default_factory=Counter)
    """How many senders were to be killed at each moment."""
    kills: Counter[str] = field(default_factory=Counter)
    orders: int = 0
    jobs_without_order: list[str] = field(default_factory=list)
    orders_without_job: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)


def storm(answers: Answers, folder: Path, *, orders: int, kills: int, seed: int = 1) -> Result:
    """Send so many orders, kill the others so often meanwhile, and compare orders and jobs."""
    result, dice = Result(), random.Random(seed)

    def prepare(project: Path) -> None:
        shutil.copy(IN_PROJECT / "outbox_jobs.py", project / "internal/jobs/confirm.py")

    with running(answers, folder, prepare) as stack:
        stack.start_worker()
        share = -(-orders // SENDERS)
        senders = [
            subprocess.Popen(
                [
                    *(sys.executable, IN_PROJECT / "outbox_sender.py"),
                    *(str(first), str(min(first + share, orders))),
                ],
                cwd=stack.project, env=stack.settings, stdout=subprocess.PIPE,
                stderr=(folder / "senders.log").open("ab"), text=True,
            )
            for first in range(0, orders, share)
        ]  # fmt: skip
        for _ in range(kills):
            time.sleep(dice.uniform(1, 3))
            victim = dice.choice(sorted(stack.victims))
            kill, start = stack.victims[victim]
            kill()
            time.sleep(dice.uniform(0, 2))
            start()
            result.kills[victim] += 1
        for sender in senders:
            result.senders.update(sender.communicate()[0].splitlines())
            assert sender.returncode == 0
        found: list[list[str]] = [[], [], []]

        def settled() -> bool:
            nonlocal found
            with suppress(CommandFailed):  # The database is starting.
                program = (sys.executable, IN_PROJECT / "outbox_rows.py")
                found = json.loads(run(*program, cwd=stack.project, environment=stack.settings))
                return not found[2] and set(found[0]) <= set(found[1])
            return False

        with suppress(TimeoutError):
            until(settled, SETTLED, interval=1)
        sent, confirmed, result.waiting = found
        result.orders = len(sent)
        result.jobs_without_order = sorted(set(confirmed) - set(sent))
        result.orders_without_job = sorted(set(sent) - set(confirmed))
        result.twice = [order for order, times in Counter(confirmed).items() if times > 1]
    return result
