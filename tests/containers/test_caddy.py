"""The project's Caddyfile, run by the real program in front of a project's API."""

import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.containers import engine as engines
from tests.kit.answers import Answers
from tests.kit.ports import free_port, listens
from tests.kit.processes import stop, user_environment
from tests.kit.projects import Render
from tests.kit.waiting import until

pytestmark = pytest.mark.slow

# Shorter than those of the file, so that nobody waits for them: in seconds.
HEADERS, REQUEST = 2, 4

MB = 1_000_000


@dataclass(frozen=True)
class Proxy:
    """Caddy on two ports of this machine, and the log of the API behind it."""

    https: int
    http: int
    data: Path
    api_log: Path

    def connect(self, tls: bool = True, source: str = "127.0.0.1") -> socket.socket:
        """Return a connection from an address of this machine."""
        port = self.https if tls else self.http
        connection = socket.create_connection(
            ("127.0.0.1", port), timeout=60, source_address=(source, 0)
        )
        if not tls:
            return connection
        context = ssl.create_default_context(cafile=str(self.certificate))
        return context.wrap_socket(connection, server_hostname="localhost")

    @property
    def certificate(self) -> Path:
        """What has to be trusted to trust the certificate of `localhost`."""
        return self.data / "caddy/pki/authorities/local/root.crt"

    def ask(self, request: bytes, *, tls: bool = True, source: str = "127.0.0.1") -> str:
        """Return the answer to a request."""
        with self.connect(tls, source) as connection:
            connection.sendall(request)
            return read(connection)


def read(connection: socket.socket) -> str:
    """Return all that comes until the other side closes, or ends the connection."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionError:
        pass
    return received.decode(errors="replace")


def get(path: str, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def post(length: int) -> bytes:
    lines = ["POST /jobs/email HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += ["Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


@contextmanager
def running(*command: str | Path, log: Path, cwd: Path, **variables: str) -> Iterator[None]:
    """Run a program for as long as the context lasts."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env={**user_environment(), **variables}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield
    finally:
        stop(process)


@pytest.fixture(scope="module")
def proxy(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    try:
        caddy = engines.unpacked_tools() / "usr/bin/caddy"
    except engines.Unavailable as reason:
        engines.skip(reason)
    folder = tmp_path_factory.mktemp("caddy")
    answers: Answers = {"task_runner": "none", "docs_language": "en", "python_version": "3.12"}
    project = render(answers)
    api, http, https = free_port(), free_port(), free_port()
    (folder / "Caddyfile").write_text(
        here((project / "deploy/Caddyfile").read_text(), api, http, https)
    )
    made = Proxy(https, http, folder / "data", folder / "api.log")
    with (
        running(
            sys.executable, "-m", "uvicorn", "api.main:app", "--app-dir", project,
            "--port", str(api), log=made.api_log, cwd=folder,
        ),
        running(
            caddy, "run", "--config", "Caddyfile", log=folder / "caddy.log", cwd=folder,
            DOMAIN="localhost", XDG_DATA_HOME=str(made.data), XDG_CONFIG_HOME=str(folder),
        ),
    ):  # fmt: skip
        until(lambda: listens(api) and listens(https), describe=made.api_log.read_text)
        until(made.certificate.exists)
        until(lambda: _has_certificate(made))
        yield made


def here(caddyfile: str, api: int, http: int, https: int) -> str:
    """Return the file with the ports of this machine and shorter times."""
    options = f"{{\n\thttp_port {http}\n\thttps_port {https}\n"
    for old, new in (
        (r"^\{\n", options),
        (r"\bapi:8000\b", f"127.0.0.1:{api}"),
        (r"read_header \d+s", f"read_header {HEADERS}s"),
        (r"read_body \d+s", f"read_body {REQUEST}s"),
    ):
        caddyfile, count = re.subn(old, new, caddyfile, flags=re.MULTILINE)
        assert count == 1, old
    return caddyfile


def _has_certificate(proxy: Proxy) -> bool:
    try:
        return proxy.ask(get("/livez")).startswith("HTTP/1.1 ")
    except (ssl.SSLError, ConnectionError):
        return False


def test_the_api_is_served_by_https(proxy: Proxy) -> None:
    answer = proxy.ask(get("/livez"))
    assert answer.startswith("HTTP/1.1 200 ")
    headers = answer.partition("\r\n\r\n")[0].lower().splitlines()
    assert "strict-transport-security: max-age=31536000" in headers
    assert not [header for header in headers if header.startswith(("server: caddy", "alt-svc:"))]


def test_http_leads_to_https(proxy: Proxy) -> None:
    answer = proxy.ask(get("/livez?now=1"), tls=False)
    assert answer.startswith("HTTP/1.1 301 ")
    assert "\r\nLocation: https://localhost/livez?now=1\r\n" in answer


def test_another_host_is_not_served(proxy: Proxy) -> None:
    request = get("/from-another-host").replace(b"Host: localhost", b"Host: other.example.com")
    for tls in (True, False):
        answer = proxy.ask(request, tls=tls)
        assert "other.example.com" not in answer
    assert "/from-another-host" not in proxy.api_log.read_text()


def test_the_api_sees_the_clients_address_and_not_what_the_client_claims(proxy: Proxy) -> None:
    claims = (
        "X-Forwarded-For: 203.0.113.9",
        "X-Real-IP: 203.0.113.9",
        "Forwarded: for=203.0.113.9",
    )
    answer = proxy.ask(get("/livez?from=5", *claims), source="127.0.0.5")
    assert answer.startswith("HTTP/1.1 200 ")
    until(lambda: "/livez?from=5" in proxy.api_log.read_text())
    assert '127.0.0.5:0 - "GET /livez?from=5' in proxy.api_log.read_text()


@pytest.mark.parametrize(
    ("begin", "more", "seconds"),
    [
        (b"", None, HEADERS),
        (b"POST /jobs/email HTTP/1.1\r\nHost: localhost\r\n", b"X: 1\r\n", HEADERS),
        (post(1000), b"x", REQUEST),
    ],
    ids=["nothing", "headers", "body"],
)
def test_a_client_that_sends_slowly_is_cut_off(
    begin: bytes, more: bytes | None, seconds: float, proxy: Proxy
) -> None:
    begun = time.monotonic()
    with proxy.connect() as connection:
        connection.sendall(begin)
        connection.settimeout(0.2)
        until(lambda: _ended(connection, more), seconds + 20)
    assert time.monotonic() - begun > seconds / 2
    assert "/jobs/email" not in accepted(proxy)


def _ended(connection: socket.socket, more: bytes | None) -> bool:
    """Send a little more; tell whether the other side has closed."""
    try:
        if more:
            connection.sendall(more)
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except (ConnectionError, ssl.SSLError):
        return True


def accepted(proxy: Proxy) -> str:
    """Return the lines of the API's log about what it accepted."""
    lines = proxy.api_log.read_text().splitlines()
    return "\n".join(line for line in lines if re.search(r'" 20\d', line))


def too_large() -> Iterator[bytes]:
    yield post(50 * MB)
    for _ in range(50):
        yield bytes(MB)


def endless() -> Iterator[bytes]:
    yield post(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    for _ in range(50):
        yield f"{MB:x}\r\n".encode() + bytes(MB) + b"\r\n"


@pytest.mark.parametrize("parts", [too_large, endless])
def test_a_body_that_is_too_large_is_cut_off(
    parts: Callable[[], Iterator[bytes]], proxy: Proxy
) -> None:
    sent = 0
    with proxy.connect() as connection:
        try:
            for part in parts():
                connection.sendall(part)
                sent += len(part)
        except (ConnectionError, ssl.SSLError):
            pass
        # Buffers on the way hold a little more than the limit.
        assert sent < 30 * MB
    assert "/jobs/email" not in accepted(proxy)
