"""A generated project with its engine and its database, all of which can be killed and restarted."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.kit.answers import Answers
from tests.kit.engines import Running, engine
from tests.kit.ports import free_port
from tests.kit.postgresql import is_ready, server_pid
from tests.kit.processes import user_environment
from tests.kit.projects import migrate, render
from tests.kit.repository import BIN
from tests.kit.waiting import until

__all__ = ["Stack", "postgresql", "running"]


class Database(Running):
    """The PostgreSQL server of the project, which has a session of its own."""

    def kill(self) -> None:
        server = server_pid(self._project / "data/postgresql")
        if server:
            with suppress(ProcessLookupError):
                os.kill(server, signal.SIGKILL)
        super().kill()
        if server:
            # While the system still knows its number, another server takes it for running.
            until(lambda: not Path(f"/proc/{server}").exists())


@dataclass
class Stack:
    """What runs of a project: its engine and database to begin with."""

    project: Path
    settings: dict[str, str]
    worker: list[str] = field(default_factory=list)
    """The command of a worker, if the runner has any."""
    victims: dict[str, tuple[Callable[[], None], Callable[[], None]]] = field(default_factory=dict)
    """How each is killed, and started again."""
    _end: ExitStack = field(default_factory=ExitStack)

    def start(self, name: str, command: list[str], **settings: str) -> Running:
        """Start a process of the project."""
        return self.begin(Running(name, command, self.project, self.settings | settings))

    def start_worker(self, name: str = "worker", **settings: str) -> Running:
        """Start a worker."""
        return self.start(name, self.worker, **settings)

    def start_api(self, **settings: str) -> tuple[Running, str]:
        """Start the API, and return it with its address; it may not listen yet."""
        port = free_port()
        serve = ["-m", "uvicorn", "api.main:app", "--port", str(port), "--no-access-log"]
        api = self.start("api", [sys.executable, *serve], **settings)
        return api, f"http://127.0.0.1:{port}"

    def begin(self, running: Running) -> Running:
        """Start a process, which ends with all the others."""
        running.start()
        self._end.callback(running.kill)
        self.victims[running.name] = running.kill, running.start
        return running


@contextmanager
def postgresql(project: Path, settings: dict[str, str]) -> Iterator[Running]:
    """Run a project's own PostgreSQL server, and name it in the settings."""
    port = free_port()
    settings["DATABASE_URL"] = f"postgresql://stack@127.0.0.1:{port}/stack"
    server = Database("database", [sys.executable, "-m", "dev.database"], project, settings)
    server.start()
    try:
        until(lambda: is_ready(settings["DATABASE_URL"]))
        yield server
    finally:
        server.kill()


@contextmanager
def running(
    answers: Answers, folder: Path, prepare: Callable[[Path], object] = lambda _project: None
) -> Iterator[Stack]:
    """Make a project in a folder, and run its engine and its database, which has all tables.

    `prepare` is given the project's folder before anything runs.
    """
    project = render(folder / "project", {"project_name": "Stack", **answers})
    prepare(project)
    environment = user_environment()
    environment |= {"PYTHONPATH": str(project), "PATH": f"{BIN}{os.pathsep}{environment['PATH']}"}
    with ExitStack() as end:
        stack = Stack(project, environment, _end=end)
        if answers.get("database") == "postgresql":
            server = end.enter_context(postgresql(project, stack.settings))
            stack.victims["database"] = server.kill, server.start
        migrate(project, **stack.settings)
        if answers["task_runner"] != "none":
            used = end.enter_context(engine(answers, project, folder, stack.settings))
            stack.settings, stack.worker = used.settings, used.worker
            stack.victims["broker"] = used.broker.kill, used.broker.start
        yield stack
