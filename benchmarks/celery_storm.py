"""What is lost, and what done twice, while workers are killed and the broker is restarted?

    python -m benchmarks.celery_storm [--jobs 10000] [--kills 20] [--restarts 3] [--workflows]
        [redis] [rabbitmq]

Needs `redis-server` (and `rabbitmq-server`) on this machine.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.kit.brokers import RabbitMQ, Redis
from tests.kit.celery_storm import Result, storm


def main() -> int:
    """Run the storms, and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("brokers", nargs="*", default=["redis", "rabbitmq"])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--workflows", action="store_true")
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr)
    results = []
    for name in options.brokers:
        with tempfile.TemporaryDirectory() as folder:
            results.append(
                storm(
                    {"redis": Redis, "rabbitmq": RabbitMQ}[name],
                    Path(folder),
                    jobs=options.jobs,
                    kills=options.kills,
                    restarts=options.restarts,
                    seed=options.seed,
                    workflows=options.workflows,
                )
            )
    print(table(results))
    return int(any(result.lost or result.twice for result in results))


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
