"""Thousands of jobs while workers are killed and the broker is restarted: what is lost, what is double?

    python -m benchmarks.celery_storm [--jobs 10000] [--kills 20] [--restarts 3] [--workflows]
        [redis] [rabbitmq]

Needs `redis-server` (and `rabbitmq-server`) on this machine. Each job adds a line to a
ledger together with a note under its key, as the generated project's services do; each
workflow adds three, in steps with a pause between them. Workers are killed (SIGKILL) at
random moments, the broker as well.
"""

import argparse
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.celery_runner.brokers import RabbitMQ, Redis, Server
from tests.celery_runner.project import Project, Refused, Worker, generate

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
BATCH = 50
QUIET = 90.0
"""Give up when nothing was done for so many seconds."""


@dataclass
class Result:
    """What came of a storm."""

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


def main() -> int:
    """Run the storms, and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("brokers", nargs="*", default=["redis", "rabbitmq"])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--workflows", action="store_true")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr)
    results = []
    for name in options.brokers:
        with tempfile.TemporaryDirectory() as folder:
            results.append(
                storm(
                    {"redis": Redis, "rabbitmq": RabbitMQ}[name],
                    ROOT,
                    Path(folder),
                    options.jobs,
                    options.kills,
                    options.restarts,
                    random.Random(options.seed),
                    options.workflows,
                )
            )
    print(table(results))
    return int(any(result.lost or result.twice for result in results))


def storm(
    kind: type[Server],
    template: Path,
    folder: Path,
    jobs: int,
    kills: int,
    restarts: int,
    chance: random.Random | None = None,
    workflows: bool = False,
) -> Result:
    """Let jobs be done while the storm rages, and count what was done."""
    with ExitStack() as stack:
        redis = Redis(folder / "redis")
        broker = redis if kind is Redis else kind(folder / "broker")
        for server in {redis, broker}:
            stack.callback(server.close)
            server.start()
        project = generate(template, folder / "sample", broker, redis)
        stack.callback(project.close_console)
        workers = [project.start_worker("-n", f"{number}@%h") for number in range(WORKERS)]
        stack.callback(lambda: [worker.stop() for worker in workers])
        result = Result(kind.name, jobs, workflows)
        begun = time.monotonic()
        sender = threading.Thread(target=send, args=(project, result))
        sender.start()
        rage(project, workers, result, kills, restarts, chance or random.Random())
        sender.join()
        result.seconds = time.monotonic() - begun
        count(project, result)
        return result


def send(project: Project, result: Result) -> None:
    """Enqueue the jobs; what was refused is sent again under its old key."""
    kind = "steps" if result.workflows else "effect"
    for first in range(0, result.jobs, BATCH):
        keys = [str(number) for number in range(first, min(first + BATCH, result.jobs))]
        while True:
            try:
                project.ask(f"enqueue_many({kind!r}, {keys!r})")
                break
            except Refused as error:
                print(f"refused: {error}", file=sys.stderr)
                time.sleep(1)


def rage(
    project: Project,
    workers: list[Worker],
    result: Result,
    kills: int,
    restarts: int,
    chance: random.Random,
) -> None:
    """Kill workers and restart the broker at random moments until all jobs are done."""
    blows = ["kill"] * kills + ["restart"] * restarts
    chance.shuffle(blows)
    effects_of_all = len(expected(result))
    moments = sorted(chance.uniform(0.02, 0.95) * effects_of_all for _ in blows)
    last, changed = 0, time.monotonic()
    while last < effects_of_all:
        time.sleep(0.2)
        done = effects(project)
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
            if blows.pop() == "kill":
                victim = chance.randrange(len(workers))
                workers[victim].kill()
                workers[victim] = project.start_worker("-n", f"{victim}@%h", wait=False)
                result.kills += 1
            else:
                project.broker.kill()
                time.sleep(chance.uniform(0, 2))
                project.broker.start()
                result.restarts += 1


def expected(result: Result) -> list[str]:
    """Return the keys under which the ledger must have a line in the end."""
    if result.workflows:
        # The pause is the second thing that a workflow asks for.
        return [f"steps-{job}.{step}" for job in range(result.jobs) for step in (1, 3, 4)]
    return [f"effect-{job}" for job in range(result.jobs)]


def effects(project: Project) -> int:
    """Return the number of jobs that had their effect."""
    return len(ledger(project))


def ledger(project: Project) -> Counter[str]:
    """Return how often each job had its effect."""
    with sqlite3.connect(project.folder / "data/app.db", timeout=30) as database:
        try:
            return Counter(key for (key,) in database.execute("SELECT key FROM ledger"))
        except sqlite3.OperationalError:
            return Counter()


def count(project: Project, result: Result) -> None:
    """Compare what was done with what was asked for."""
    done = ledger(project)
    result.lost = sum(done[key] == 0 for key in expected(result))
    result.twice = sum(times > 1 for times in done.values())
    result.runs = (project.folder / "data/runs.txt").read_text().count(" started ")


def table(results: list[Result]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        (
            "| Broker | Jobs | Workers killed | Broker restarts | Workers that gave up | Seconds | Runs"
            " | Jobs lost | Effects twice |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        lines.append(
            f"| {r.broker} | {r.jobs} | {r.kills} | {r.restarts} | {r.exits} | {r.seconds:.0f}"
            f" | {r.runs} | {r.lost} | {r.twice} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
