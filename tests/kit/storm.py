"""Thousands of jobs while workers are killed and the engine, or the database, is restarted.

Each job adds a line to a ledger together with a note under its key, as the generated project's
services do; each workflow adds three, in steps with a pause between them. An e-mail, and a file that
is imported to its last row, count as well. Workers are killed (SIGKILL) at random moments; so is the
engine, which is the broker or Temporal's server, and so is PostgreSQL.

Workers can be `apart`: each has a folder and a network of its own, as if it were on another machine.

The moments are spread over the work that is done. Jobs are enqueued only so far ahead of them that
a fast machine cannot be ready before the last fault.
"""

import asyncio
import json
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import asyncpg  # type: ignore[import-untyped]  # It comes without types.
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.kit.answers import Answers
from tests.kit.apart import apart, doors, networks_can_be_had
from tests.kit.brokers import Server
from tests.kit.buckets import s3
from tests.kit.engines import Engine, Running, engine
from tests.kit.ports import free_port
from tests.kit.processes import user_environment
from tests.kit.projects import migrate, render
from tests.kit.repository import BIN, IN_PROJECT
from tests.kit.stack import postgresql

__all__ = ["Result", "storm"]

WORKERS = 2
BATCH = 50
QUIET = 90.0
"""Give up when nothing was done for so many seconds."""

STEPS = {
    "effect": [""], "resize": [""], "onboard": [".1", ".3", ".4"],
    "email": [""], "import": [""], "cleanup": [],
}  # fmt: skip
"""What comes after a job's id in the keys of its effects; a pause has a number, but no effect."""

ROWS = 3_000
"""How many rows a file has that is imported: more than are committed together."""

EFFECTS = f"""
SELECT key FROM ledger UNION ALL SELECT id FROM imports WHERE rows_done = {ROWS}
"""


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
    emails_again: int = 0
    """How many e-mails a mail server was given once more, with the `Message-ID` that it knows."""
    dead: Counter[str] = field(default_factory=Counter)
    """The errors of jobs that had failed, as one does that was lost with several workers in a row.
    They were retried, as an operator would."""
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
    workers: int = WORKERS,
    separate: bool = False,
    seed: int | None = None,
) -> Result:
    """Do so many jobs of these kinds under faults, and count what was done.

    `kinds` are some of `STEPS`; `separate` workers share no folder and, where that can be had, no
    network; the same `seed` gives the same random moments.
    """
    result, dice = Result(jobs), random.Random(seed)
    project = render(folder / "project", {"project_name": "Storm", **answers})
    shutil.copy(IN_PROJECT / "storm_jobs.py", project / "internal/jobs/storm.py")
    settings = user_environment() | {
        "PATH": f"{BIN}:{user_environment()['PATH']}",
        "PYTHONPATH": str(project),
        "TMPDIR": str(folder),
    }
    with ExitStack() as stack:
        database = None
        if answers.get("database") == "postgresql":
            database = stack.enter_context(postgresql(project, settings))
        migrate(project, **settings)
        mailbox = stack.enter_context(_Mailbox.serving(settings))
        ledger = _Ledger(project, settings.get("DATABASE_URL"), mailbox)
        if separate:
            bucket = stack.enter_context(s3(folder))
            bucket.put("imports/rows.csv", _rows())
            settings |= bucket.settings
        else:
            (project / "data/imports").mkdir(parents=True, exist_ok=True)
            (project / "data/imports/rows.csv").write_bytes(_rows())
        running = stack.enter_context(engine(answers, project, folder, settings))
        ports = _ports(running.settings)
        separately = separate and networks_can_be_had()
        if separately:
            stack.enter_context(doors(folder, ports))
        fleet = [
            _worker(project, running, number, folder if separate else None, separately, ports)
            for number in range(workers)
        ]
        for worker in fleet:
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
        restarting = [running.broker, *([database] if database else [])]

        def revive() -> None:
            for worker in fleet:
                if worker.ended:
                    result.exits += 1
                    worker.start()

        try:
            _inject(faults, ledger, restarting, fleet, revive, len(expected), result, dice, gate)
        finally:
            gate.release(len(portions))
            sending.join()
        result.states = sender.states(jobs, revive)
        result.seconds = time.monotonic() - begun
        while result.states["failed"]:
            result.dead.update(sender.ask("retry"))
            result.states = sender.states(jobs, revive)
        done = ledger.effects()
    result.lost = sum(done[key] == 0 for key in expected)
    result.twice = sum(times > 1 for times in done.values())
    result.emails_again = sum(times - 1 for times in mailbox.messages.values())
    result.runs = sum(len(path.read_text().splitlines()) for path in folder.rglob("runs.txt"))
    return result


def _rows() -> bytes:
    """Return the file to import."""
    lines = "".join(f"{row}@example.com,{row}\n" for row in range(ROWS))
    return f"email,name\n{lines}".encode()


class _Mailbox:
    """A mail server that counts the messages, by their `Message-ID`, that it was given."""

    def __init__(self) -> None:
        self.messages: Counter[str] = Counter()

    @classmethod
    @contextmanager
    def serving(cls, settings: dict[str, str]) -> Iterator[Self]:
        """Serve one, and name it in the settings."""
        mailbox, port = cls(), free_port()
        controller = Controller(mailbox, hostname="127.0.0.1", port=port)
        controller.start()
        settings["SMTP_URL"] = f"smtp://127.0.0.1:{port}"
        try:
            yield mailbox
        finally:
            controller.stop()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.messages[str(message_from_bytes(envelope.content)["Message-ID"])] += 1
        return "250 kept"


class _Ledger:
    """What the jobs of a project have done, in its database and at the mail server."""

    def __init__(self, project: Path, url: str | None, mailbox: _Mailbox) -> None:
        self._file = project / "data/app.db"
        self._url = url
        self._mailbox = mailbox
        self._ask("CREATE TABLE ledger (key TEXT, at DOUBLE PRECISION)")

    def effects(self) -> Counter[str]:
        """Return how often there was an effect under each key, as soon as the database answers."""
        while True:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                recorded = Counter(self._ask(EFFECTS))
                # A copy, for the server's thread adds to it.
                mails = list(self._mailbox.messages)
                return recorded + Counter(mail.partition("@")[0].lstrip("<") for mail in mails)
            time.sleep(0.2)

    def _ask(self, statement: str) -> list[str]:
        if self._url is None:
            with closing(sqlite3.connect(self._file, timeout=30)) as database:
                return [key for (key,) in database.execute(statement)]
        return asyncio.run(self._ask_server(self._url, statement))

    @staticmethod
    async def _ask_server(url: str, statement: str) -> list[str]:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return [key for (key,) in await connection.fetch(statement)]
        finally:
            connection.terminate()


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

    def states(self, jobs: int, revive: Callable[[], None]) -> Counter[str]:
        """Wait until all jobs have ended or no state changes any more, and count the jobs by state.

        `revive` starts workers again that have ended meanwhile.
        """
        last: Counter[str] = Counter()
        changed = time.monotonic()
        while time.monotonic() - changed < QUIET:
            found = Counter(self.ask("states"))
            if sum(found[state] for state in ("succeeded", "failed", "cancelled")) >= jobs:
                return found
            if found != last:
                last, changed = found, time.monotonic()
            revive()
            time.sleep(1)
        return last


def _worker(
    project: Path,
    running: Engine,
    number: int,
    folder: Path | None,
    separately: bool,
    ports: Sequence[int],
) -> Running:
    """Return a worker, with a folder of its own below the one that is given, if any."""
    named = ["-n", f"{number}@%h"] if "celery" in running.worker else []
    command, settings = [*running.worker, *named], running.settings
    if folder:
        data = folder / f"machine-{number}"
        data.mkdir()
        settings = settings | {"DATA_DIR": str(data), "TMPDIR": str(data)}
    if folder and separately:
        command = apart(folder, ports, command)
    return Running(f"worker-{number}", command, project, settings)


def _ports(settings: Mapping[str, str]) -> list[int]:
    """Return the ports of this machine that settings name."""
    found = (re.findall(r"127\.0\.0\.1:(\d+)", value) for value in settings.values())
    return sorted({int(port) for ports in found for port in ports})


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
    ledger: _Ledger,
    restarting: Sequence[Running | Server],
    workers: list[Running],
    revive: Callable[[], None],
    effects: int,
    result: Result,
    dice: random.Random,
    gate: threading.Semaphore,
) -> None:
    """Kill workers and restart the others at random moments.

    Each portion of the work but the last has one moment, at which the gate opens for another portion.
    """
    share = effects / (len(faults) + 1)
    moments = [(portion + dice.uniform(0.1, 0.9)) * share for portion in range(len(faults))]
    last, changed = 0, time.monotonic()
    while moments:
        time.sleep(0.2)
        done = ledger.effects().total()
        if done != last:
            last, changed = done, time.monotonic()
        if time.monotonic() - changed > QUIET:
            return
        revive()
        if done >= moments[0]:
            moments.pop(0)
            gate.release()
            if faults.pop() == "kill":
                victim = dice.choice(workers)
                victim.kill()
                victim.start()
                result.kills += 1
            else:
                other = restarting[result.restarts % len(restarting)]
                other.kill()
                time.sleep(dice.uniform(0, 2))
                other.start()
                result.restarts += 1


def _expected(jobs: int, kinds: Sequence[str]) -> list[str]:
    """Return the keys under which the ledger must have a line in the end."""
    return [
        f"{kind}-{job}{step}"
        for job in range(jobs)
        for kind in [kinds[job % len(kinds)]]
        for step in STEPS[kind]
    ]
