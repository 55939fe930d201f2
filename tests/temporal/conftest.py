"""A generated project, and the real processes of its background work."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from email import message_from_bytes
from pathlib import Path

import pytest
import pytest_asyncio
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.kit.ports import free_port
from tests.kit.projects import Render, migrate
from tests.kit.waiting import until_async

QUEUE = "sample-project"


@pytest.fixture(scope="session")
def project(render: Render) -> Path:
    return render({"task_runner": "temporal"})


class Mailbox:
    """A mail server that counts what it accepts."""

    def __init__(self) -> None:
        self.by_recipient: Counter[str] = Counter()
        self.by_message_id: Counter[str] = Counter()
        self.pause = 0.0
        """How long, in seconds, it waits before it accepts a message, and before it confirms that."""

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        await asyncio.sleep(self.pause)
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content)
        self.by_recipient[message["To"]] += 1
        self.by_message_id[message["Message-ID"]] += 1
        await asyncio.sleep(self.pause)
        return "250 kept"


class Process:
    """A Python module of the project that runs, and its log."""

    def __init__(self, project: Path, log: Path, module: str, environment: dict[str, str]) -> None:
        self._log = log
        with log.open("w") as output:
            self._running = subprocess.Popen(
                [sys.executable, "-m", *module.split()],
                cwd=project, env=environment, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def says(self, words: str, seconds: float = 30) -> None:
        """Wait until the words are in the log."""
        await until_async(lambda: words in self.log, seconds, describe=lambda: self.log)

    def send(self, number: signal.Signals) -> None:
        if self._running.poll() is None:
            self._running.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end, and return the exit code."""
        return await asyncio.to_thread(self._running.wait, 60)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return await self.ended()


class Stack:
    """What runs of one project: a server, a mail server, and the processes that a test starts."""

    client: Client

    def __init__(self, project: Path, folder: Path, mailbox: Mailbox, smtp_port: int) -> None:
        self.project, self.folder, self.mailbox = project, folder, mailbox
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TEMPORAL_", "PYTEST_"))
        } | {
            "DATA_DIR": str(folder / "data"),
            "SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
            "TEMPORAL_ADDRESS": f"127.0.0.1:{free_port(also=1000)}",
            "TEMPORAL_CONFIG_FILE": os.devnull,
        }
        self.processes: list[Process] = []

    @property
    def address(self) -> str:
        return self.environment["TEMPORAL_ADDRESS"]

    def start(self, module: str, **settings: str) -> Process:
        log = self.folder / f"{len(self.processes)}-{module.split()[0]}.log"
        process = Process(self.project, log, module, self.environment | settings)
        self.processes.append(process)
        return process

    async def start_engine(self) -> Process:
        engine = self.start("dev.engine")

        async def answers() -> bool:
            try:
                self.client = await Client.connect(
                    self.address, data_converter=pydantic_data_converter
                )
            except RuntimeError:
                return False
            return True

        await until_async(answers, 30, describe=lambda: engine.log)
        return engine

    async def start_worker(self, **settings: str) -> Process:
        """Start a worker, and wait until it works."""
        worker = self.start("internal.workers.main", **settings)
        await worker.says("working on")
        return worker

    def contacts_file(self, rows: int) -> str:
        """Write a file to import, and return its name."""
        folder = self.folder / "data/imports"
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{number}@example.com,Nr. {number}\n" for number in range(rows))
        (folder / "contacts.csv").write_text(f"email,name\n{lines}")
        return "contacts.csv"

    def database(self, statement: str) -> list[tuple[object, ...]]:
        """Let the project's database do one statement."""
        with (
            closing(sqlite3.connect(self.folder / "data/app.db", timeout=10)) as database,
            database,
        ):
            return list(database.execute(statement))


@pytest_asyncio.fixture
async def stack(project: Path, tmp_path: Path) -> AsyncIterator[Stack]:
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    stack = Stack(project, tmp_path, mailbox, controller.port)
    migrate(project, DATA_DIR=str(tmp_path / "data"))
    try:
        await stack.start_engine()
        yield stack
    finally:
        # The engine is the first, and so the last to stop.
        for process in reversed(stack.processes):
            await process.stop(signal.SIGKILL)
        controller.stop()


def report(**facts: object) -> None:
    """Print what was measured; `pytest -rP` shows it."""
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):<40} {value}")
