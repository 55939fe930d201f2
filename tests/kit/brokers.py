"""Real Redis and RabbitMQ servers on free ports, which can be killed, frozen and restarted."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

from tests.kit.ports import free_port
from tests.kit.processes import run
from tests.kit.waiting import until

# Debian's script on the PATH changes the user; the one behind it runs as the user who starts it.
RABBITMQ = [Path("/usr/lib/rabbitmq/bin/rabbitmq-server"), shutil.which("rabbitmq-server")]


class Server:
    """A server process with a port and a data folder of its own."""

    name: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True)
        self.log = folder / "server.log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> str | None:
        """Say why the server cannot be run here."""
        return None if cls.program() else f"{cls.name} is not installed"

    @classmethod
    def program(cls) -> str | None:
        raise NotImplementedError

    @property
    def url(self) -> str:
        """The address for a client."""
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def answers(self) -> bool:
        raise NotImplementedError

    def refuse(self) -> None:
        raise NotImplementedError

    def accept(self) -> None:
        raise NotImplementedError

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), env=os.environ | self.environment(), cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until(self._answers_while_it_runs, describe=self.log.read_text)

    def _answers_while_it_runs(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.log.read_text()
        return self.answers()

    def reply(self, message: bytes) -> bytes:
        """Return the beginning of what the server replies, nothing if it does not."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(message)
                return connection.recv(16)
        except OSError:
            return b""

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        os.killpg(self.process.pid, number)

    def stop(self) -> None:
        """Tell the server to end, and wait for it."""
        assert self.process
        self.process.terminate()
        self.process.wait()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process
        self.process.wait()

    def empty(self) -> None:
        """Put a new server in its place, which knows nothing."""
        self.kill()
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != self.log:
                path.unlink()
        self.start()

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.kill()


class Redis(Server):
    name = "redis-server"

    @classmethod
    def program(cls) -> str | None:
        return shutil.which("redis-server")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [
            str(self.program()), "--bind", "127.0.0.1", "--port", str(self.port),
            "--dir", str(self.folder), "--appendonly", "yes", "--save", "",
        ]  # fmt: skip

    def answers(self) -> bool:
        return self.reply(b"PING\r\n").startswith(b"+PONG")

    def refuse(self) -> None:
        """Take nothing new, as when the memory is used up."""
        self._ask("CONFIG SET maxmemory-policy noeviction", "CONFIG SET maxmemory 1")

    def accept(self) -> None:
        """Take everything again."""
        self._ask("CONFIG SET maxmemory 0")

    def _ask(self, *commands: str) -> None:
        for command in commands:
            assert self.reply(f"{command}\r\n".encode()) == b"+OK\r\n"


class RabbitMQ(Server):
    name = "rabbitmq-server"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.distribution_port = free_port()
        self.epmd_port = free_port()

    @classmethod
    def program(cls) -> str | None:
        return next((str(path) for path in RABBITMQ if path and Path(path).exists()), None)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def command(self) -> list[str]:
        return [str(self.program())]

    def environment(self) -> dict[str, str]:
        (self.folder / "plugins").write_text("[].")
        return {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"rabbit{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def answers(self) -> bool:
        return self.reply(b"AMQP\x00\x00\x09\x01") != b""

    def refuse(self) -> None:
        """Take nothing new, as when the memory is used up."""
        self.control("set_vm_memory_high_watermark", "absolute", "1MB")

    def accept(self) -> None:
        """Take everything again."""
        self.control("set_vm_memory_high_watermark", "0.9")

    def control(self, *words: str) -> str:
        """Return what a command to the server prints."""
        environment = os.environ | self.environment()
        program = Path(str(self.program())).with_name("rabbitmqctl")
        return run(program, *words, environment=environment, timeout=60)

    def close(self) -> None:
        super().close()
        # Erlang's name server outlives the node that started it.
        subprocess.run(
            ["epmd", "-port", str(self.epmd_port), "-kill"], capture_output=True, check=False
        )


BROKERS: dict[str, type[Server]] = {"redis": Redis, "rabbitmq": RabbitMQ}
"""The brokers, by the names that they have among the answers."""


@contextmanager
def redis_and_broker(kind: type[Server], folder: Path) -> Iterator[tuple[Redis, Server]]:
    """Run a Redis and a broker, which may be the same server, until the context ends."""
    with ExitStack() as opened:
        redis = Redis(folder / "redis")
        broker = redis if kind is Redis else kind(folder / "broker")
        for server in {redis, broker}:
            opened.callback(server.close)
            server.start()
        yield redis, broker


def celery_settings(redis: Redis, broker: Server) -> dict[str, str]:
    """Return the settings by which a Celery project uses these servers."""
    return {
        "CELERY_BROKER_URL": f"{redis.url}/0" if broker is redis else broker.url,
        "CELERY_RESULT_BACKEND": f"{redis.url}/1",
    }
