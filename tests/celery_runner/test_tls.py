"""Over TLS, Celery connects to brokers with a valid certificate, and to no others."""

import shutil
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kit.brokers import RabbitMQ, Redis, Server
from tests.kit.celery_project import Project, Refused, generate
from tests.kit.processes import run

pytestmark = pytest.mark.slow

OTHER_HOST = "127.0.0.2"
"""Another address of this machine, for which there is no certificate."""


@dataclass(frozen=True)
class Certificate:
    """A certificate for one host, and its key."""

    certificate: Path
    key: Path


class SecureRedis(Redis):
    """A Redis that accepts only TLS."""

    def __init__(self, folder: Path, certificate: Certificate) -> None:
        super().__init__(folder)
        self.certificate = certificate

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [
            str(self.program()), "--bind", "127.0.0.1", OTHER_HOST, "--dir", str(self.folder), "--save", "",
            "--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no",
            "--tls-cert-file", str(self.certificate.certificate),
            "--tls-key-file", str(self.certificate.key),
            "--tls-ca-cert-file", str(self.certificate.certificate),
        ]  # fmt: skip

    def answers(self) -> bool:
        return speaks_tls(self.port)


class SecureRabbitMQ(RabbitMQ):
    """A RabbitMQ that accepts only TLS."""

    def __init__(self, folder: Path, certificate: Certificate) -> None:
        super().__init__(folder)
        (folder / "rabbitmq.conf").write_text(
            "listeners.tcp = none\n"
            f"listeners.ssl.1 = 127.0.0.1:{self.port}\n"
            f"listeners.ssl.2 = {OTHER_HOST}:{self.port}\n"
            f"ssl_options.certfile = {certificate.certificate}\n"
            f"ssl_options.keyfile = {certificate.key}\n"
        )

    @property
    def url(self) -> str:
        return f"amqps://guest:guest@127.0.0.1:{self.port}//"

    def environment(self) -> dict[str, str]:
        return super().environment() | {"RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq")}

    def answers(self) -> bool:
        return speaks_tls(self.port)


def speaks_tls(port: int) -> bool:
    try:
        return bool(ssl.get_server_certificate(("127.0.0.1", port), timeout=1))
    except OSError:
        return False


def make_certificate(folder: Path, address: str) -> Certificate:
    folder.mkdir()
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-days", "1", "-subj", "/CN=broker", "-addext", f"subjectAltName=IP:{address}",
        "-keyout", made.key, "-out", made.certificate,
    )  # fmt: skip
    made.key.chmod(0o644)
    return made


@pytest.fixture(scope="module", params=[SecureRedis, SecureRabbitMQ], ids=["redis", "rabbitmq"])
def brokers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """Start brokers whose certificate is for this host, and the same for another one."""
    for kind in (SecureRedis, request.param):
        if kind.missing():
            pytest.skip(str(kind.missing()))
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    certificate = make_certificate(folder / "certificate", "127.0.0.1")
    redis = SecureRedis(folder / "redis", certificate)
    broker: Server = redis
    try:
        redis.start()
        if request.param is SecureRabbitMQ:
            broker = SecureRabbitMQ(folder / "rabbitmq", certificate)
            broker.start()
        yield {"redis": redis, "broker": broker, "trusted": str(certificate.certificate)}
    finally:
        broker.close()
        redis.close()


@pytest.fixture
def project(brokers: dict[str, Any], tmp_path: Path) -> Iterator[Project]:
    project = generate(tmp_path / "sample", brokers["broker"], brokers["redis"])
    yield project
    project.close_console()


def test_a_job_is_done_over_tls(project: Project, brokers: dict[str, Any]) -> None:
    project.environment["SSL_CERT_FILE"] = brokers["trusted"]
    with project.worker():
        assert project.ended(project.enqueue("sleep"))["state"] == "succeeded"
        assert project.ask("delay_and_wait", 0) == "slept"


def test_a_certificate_of_an_unknown_authority_is_refused(project: Project) -> None:
    with pytest.raises(Refused, match="CERTIFICATE_VERIFY_FAILED"):
        project.ask("check")


def test_a_certificate_for_another_host_is_refused(
    project: Project, brokers: dict[str, Any]
) -> None:
    project.environment["SSL_CERT_FILE"] = brokers["trusted"]
    url = project.environment["CELERY_BROKER_URL"]
    project.environment["CELERY_BROKER_URL"] = url.replace("127.0.0.1", OTHER_HOST)
    with pytest.raises(Refused, match=r"CERTIFICATE_VERIFY_FAILED.* mismatch"):
        project.ask("check")
