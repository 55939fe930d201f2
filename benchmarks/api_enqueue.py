"""What it costs to enqueue an e-mail over HTTP: a generated project, and FastAPI with plain Celery.

    python -m benchmarks.api_enqueue [--broker redis|rabbitmq] [--requests 3000] [--rounds 5]

Needs `redis-server`, or it and `rabbitmq-server`, on this machine. The peers are one app whose
endpoint calls a plain task's `.delay()` in a thread, by FastAPI's own (`def`) and by
`asyncio.to_thread`, with Celery's default settings. All are served by uvicorn in one process with
its defaults, check the same fields, and get the same requests of so many clients, in turn in every
round; no worker runs. The medians of the rounds are printed, and of the rounds' ratios.
"""

import argparse
import asyncio
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.celery_throughput import cpu
from tests.kit.brokers import BROKERS, redis_and_broker
from tests.kit.celery_project import Project, generate
from tests.kit.ports import free_port, listens
from tests.kit.waiting import until

IN_PROJECT = Path(__file__).with_name("in_project")

TOKEN = "the-token-of-the-benchmark"
PRODUCTION = {
    "ENVIRONMENT": "production",
    "API_KEYS": f"benchmark:enqueue:{hashlib.sha256(TOKEN.encode()).hexdigest()}",
    "RATE_LIMIT": "100000000/minute",
    "SMTP_URL": "outbox:",
}


class Side(NamedTuple):
    """An app for uvicorn, the path that is posted to, and whether it serves as in production."""

    app: str
    path: str
    in_production: bool = False


SIDES = {
    "generated project": Side("api.main:app", "/jobs/email"),
    "the same with keys and a rate limit": Side("api.main:app", "/jobs/email", True),
    "plain task, `def`": Side("celery_plain_api:app", "/email"),
    "plain task, `asyncio.to_thread`": Side("celery_plain_api:app", "/email-to-thread"),
}
"""What is measured, by its name; the first is ours."""

BODY = json.dumps({"to": "ada@example.com", "subject": "Hello", "body": "Good to see you."})


@dataclass(frozen=True)
class Measured:
    """What was seen in one round of one side."""

    cpu: float
    """Milliseconds of the API's process for each request."""

    rate: float
    """Requests a second."""

    p50: float
    """Milliseconds, as is `p99`."""

    p99: float


def main() -> None:
    """Measure all sides by turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--broker", choices=list(BROKERS), default="redis")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rounds: list[list[Measured]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis, broker = stack.enter_context(redis_and_broker(BROKERS[options.broker], folder))
        project = generate(folder / "sample", broker, redis)
        apps = {(side.app, side.in_production) for side in SIDES.values()}
        served = {app: stack.enter_context(serve(*app, project)) for app in sorted(apps)}
        for number in range(-1, options.rounds):
            # The first round only warms up.
            requests = options.requests if number >= 0 else 500
            measured = [
                asyncio.run(
                    measure(
                        *served[side.app, side.in_production], side.path, options.clients, requests
                    )
                )
                for side in SIDES.values()
            ]
            rounds += [measured] if number >= 0 else []
    print(f"{options.clients} clients, {options.requests} requests, {options.rounds} rounds\n")
    print(
        "| E-mails enqueued over HTTP | CPU a request (ms) | Requests a second | p50 (ms) | p99 (ms) |"
    )
    print("|---|---|---|---|---|")
    for number, name in enumerate(SIDES):
        print(f"| {name} | {row([astuple(each[number]) for each in rounds], '.2f')} |")
    for number, name in list(enumerate(SIDES))[1:]:
        ratios = [
            tuple(
                own / other
                for own, other in zip(astuple(each[0]), astuple(each[number]), strict=True)
            )
            for each in rounds
        ]
        print(f"| ratio to: {name} | {row(ratios, '.2f')} |")


def row(values: list[tuple[float, ...]], form: str) -> str:
    """Return the medians of the columns."""
    return " | ".join(
        format(statistics.median(column), form) for column in zip(*values, strict=True)
    )


@contextmanager
def serve(app: str, in_production: bool, project: Project) -> Iterator[tuple[int, int]]:
    """Serve an app in the project's folder, and yield the process's id and its port."""
    port = free_port()
    environment = project.environment | {"PYTHONPATH": f"{project.folder}:{IN_PROJECT}"}
    if in_production:
        environment |= PRODUCTION
    # As everywhere but in a few test environments, Python keeps what it compiled.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with (project.folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *uvicorn(project.folder, app), "--port", str(port)],
            cwd=project.folder, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        until(lambda: listens(port))
        yield process.pid, port
    finally:
        process.kill()
        process.wait()


def uvicorn(project: Path, app: str = "api.main:app") -> list[str]:
    """Return what Python runs to serve an app, a project's own as its Procfile does."""
    command = ["-m", "uvicorn", app]
    if app == "api.main:app" and (project / "api/protocol.py").exists():
        command += ["--http", "api.protocol:Protocol"]
    return command


async def measure(pid: int, port: int, path: str, clients: int, requests: int) -> Measured:
    """Let so many clients make so many requests in all, each one after the other."""
    request = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"
    ).encode()
    waiting = iter(range(requests))
    times: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in waiting:
            start = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            [length] = [
                int(line.partition(b":")[2])
                for line in head.lower().splitlines()
                if line.startswith(b"content-length:")
            ]
            answer = await reader.readexactly(length)
            times.append(time.perf_counter() - start)
            assert head.startswith(b"HTTP/1.1 202 "), (head, answer)
        writer.close()

    before, begun = cpu(pid), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    seconds = time.perf_counter() - begun
    used = cpu(pid) - before
    percentiles = statistics.quantiles(times, n=100)
    return Measured(
        1000 * used / requests, requests / seconds, 1000 * percentiles[49], 1000 * percentiles[98]
    )


if __name__ == "__main__":
    main()
