"""How many jobs are lost or done twice while workers are killed and the engine is restarted.

    python -m benchmarks.storm [--jobs 10000] [--kills 20] [--restarts 3] [--kinds effect]
        [--machines 3] [temporal] [redis] [rabbitmq]

The engine is Temporal's server, or Celery's broker. With `--machines`, so many workers have nothing
in common but the engine, PostgreSQL and a mail server, and the database is restarted as well. Needs `redis-server` (and `rabbitmq-server`)
on this machine.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.kit.answers import EVERY_RUNNER
from tests.kit.storm import STEPS, Result, storm

ENGINES = {
    str(answers.get("celery_broker", answers["task_runner"])): answers
    for answers in EVERY_RUNNER
    if answers["task_runner"] != "none"
}


def main() -> int:
    """Run the storms, and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("engines", nargs="*", default=list(ENGINES), metavar="ENGINE")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=STEPS, default=["effect"])
    parser.add_argument("--machines", type=int)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr)
    apart: dict[str, Any] = {}
    if options.machines:
        apart = {"workers": options.machines, "separate": True}
    results = {}
    for name in options.engines:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = storm(
                ENGINES[name] | ({"database": "postgresql"} if apart else {}),
                Path(folder),
                jobs=options.jobs,
                kills=options.kills,
                restarts=options.restarts,
                kinds=options.kinds,
                seed=options.seed,
                **apart,
            )
    print(table(results))
    for name, result in results.items():
        for error, number in result.dead.items():
            print(f"{name}: {number} failed with {error!r}, and were retried")
    return int(any(result.lost or result.twice for result in results.values()))


def table(results: dict[str, Result]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        (
            "| Engine | Jobs | Workers killed | Restarts | Workers that gave up | Seconds"
            " | Runs | Retried by hand | Effects lost | Effects twice | E-mails again | States |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, r in results.items():
        states = ", ".join(f"{number} {state}" for state, number in sorted(r.states.items()))
        lines.append(
            f"| {name} | {r.jobs} | {r.kills} | {r.restarts} | {r.exits} | {r.seconds:.0f}"
            f" | {r.runs} | {r.dead.total()} | {r.lost} | {r.twice} | {r.emails_again} | {states} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
