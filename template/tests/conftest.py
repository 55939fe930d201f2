"""What every test can use: a clean environment, a mail server, and the API."""

import logging
import shutil
import socket
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi.testclient import TestClient

from internal.config import Settings, get_settings
from internal.runner import outbox
from internal.runner.registry import PACKAGES

pytest_plugins = ["tests.database", "tests.runner"]

ROOT = Path(__file__).parent.parent

# The tests' own jobs are jobs like any other.
PACKAGES.append("tests.jobs")

# A test that waits asks the API again and again: what it printed would be lost among that.
logging.getLogger("httpx2").setLevel(logging.WARNING)


class Mailbox:
    """A mail server that keeps what it is sent; some recipients it answers otherwise."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.answers: dict[str, list[str]] = {}
        """The answers that a recipient's next messages get instead of acceptance."""

    def to(self, recipient: str) -> list[Message]:
        """Return the messages that one recipient got."""
        return [message for message in self.messages if message["To"] == recipient]

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Keep a message, or give the answer that is prepared for its recipient."""
        answers = self.answers.get(envelope.rcpt_tos[0])
        if answers:
            return answers.pop(0)
        assert isinstance(envelope.content, bytes)
        self.messages.append(message_from_bytes(envelope.content))
        return "250 kept"


def free_port() -> int:
    """Return a port on this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def mailbox(environment: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """Run a real SMTP server, to which every process of the tests sends its e-mail."""
    mailbox = Mailbox()
    controller = Controller(mailbox, "127.0.0.1", free_port(), enable_SMTPUTF8=False)
    controller.start()
    environment.setenv("SMTP_URL", f"smtp://127.0.0.1:{controller.port}")
    get_settings.cache_clear()
    yield mailbox
    controller.stop()


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """Keep the tests, and the processes they start, away from `.env` and `data/`."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(name.upper(), raising=False)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("DATA_DIR", str(folder / "data"))
        patch.setenv("MAX_SLEEP", "0.05")
        patch.setattr(outbox, "INTERVAL", 0.1)
        shutil.copytree(ROOT / "tests/data", folder / "data")
        patch.chdir(folder)
        get_settings.cache_clear()
        yield patch


@pytest.fixture
def settings(tmp_path: Path, own_database: str) -> Settings:
    """Return settings with a data folder and a database of the test's own, and no mail server."""
    own = {"data_dir": tmp_path / "data", "database_url": own_database, "smtp_url": None}
    return get_settings().model_copy(update=own)


@pytest.fixture(scope="session")
def client(mailbox: Mailbox, runner: None) -> Iterator[TestClient]:
    """Serve the API, with a worker behind it."""
    from api.main import app

    with TestClient(app) as client:
        yield client
