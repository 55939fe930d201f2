"""A generated project as containers, used as its user would use it."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import yaml
from docker.models.containers import Container

from tests.containers.engine import Engine
from tests.containers.network import Address, Run
from tests.containers.stand_ins import BASE
from tests.kit.waiting import until

__all__ = ["Job", "Stack", "override"]

Job = dict[str, Any]

TOKEN = "the-token-of-the-tests"
"""With it, the API of a stack may be used."""

ENGINES = ("redis:6379", "rabbitmq:5672", "postgres:5432")
"""Services without a published port, and where they listen."""

ENDED = {"succeeded", "failed", "cancelled"}


@dataclass(frozen=True)
class Stack:
    """The services of a project on an engine, at free ports."""

    project: Path
    engine: Engine
    override: Path

    @property
    def name(self) -> str:
        """The name of the Compose project and of its image."""
        return str(self._compose_file["name"])

    @property
    def services(self) -> dict[str, Any]:
        """What compose.yaml says of each service."""
        services: dict[str, Any] = self._compose_file["services"]
        return services

    @property
    def _compose_file(self) -> dict[str, Any]:
        content: dict[str, Any] = yaml.safe_load((self.project / "compose.yaml").read_text())
        return content

    def compose(self, *arguments: str, stdin: str | None = None) -> str:
        """Return what `docker compose` prints."""
        done = subprocess.run(
            [
                "docker", "compose", "--progress=plain", "--profile=*",
                "-f", "compose.yaml", "-f", self.override, *arguments,
            ],
            cwd=self.project, env={**os.environ, **self.engine.environment}, input=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"compose {' '.join(arguments)}\n{done.stdout}{self.state()}"
        return done.stdout

    def state(self) -> str:
        """Return what helps to understand a failure."""
        lines = []
        for container in self.containers(all=True):
            log = container.logs(tail=15).decode(errors="replace")
            lines.append(f"--- {container.name}: {container.attrs['State']}\n{log}")
        return "\n".join(lines)

    def containers(self, service: str | None = None, **filters: Any) -> list[Container]:
        """Return the containers, or those of one service."""
        labels = [f"com.docker.compose.project={self.name}"]
        if service:
            labels.append(f"com.docker.compose.service={service}")
        containers: list[Container] = self.engine.client.containers.list(
            filters={"label": labels}, **filters
        )
        return containers

    def url(self, service: str, port: int) -> str:
        """Return the address at which this machine reaches a port of a service."""
        return f"http://127.0.0.1:{self.published(service)[f'{service}:{port}']}"

    def published(self, of: str | None = None) -> dict[str, int]:
        """Return the ports of this machine that lead to a port of a service, by `SERVICE:PORT`."""
        return {
            f"{_service(container)}:{inside.removesuffix('/tcp')}": int(outside[0]["HostPort"])
            for container in self.containers(of)
            for inside, outside in container.attrs["NetworkSettings"]["Ports"].items()
            if outside
        }

    def addresses(self) -> dict[str, Address]:
        """Return where services listen, in each network, by `SERVICE:PORT in NETWORK`."""
        ports: dict[str, set[int]] = {}
        for name in [*self.published(), *ENGINES]:
            service, _, port = name.partition(":")
            ports.setdefault(service, set()).add(int(port))
        return {
            f"{_service(container)}:{port} in {name.removeprefix(f'{self.name}_')}": (
                network["IPAddress"], port,
            )
            for container in self.containers()
            for name, network in container.attrs["NetworkSettings"]["Networks"].items()
            for port in ports.get(_service(container), ())
        }  # fmt: skip

    def gateway(self, network: str) -> str:
        """Return the address of this machine in a network."""
        attributes = self.engine.client.networks.get(f"{self.name}_{network}").attrs
        return str(attributes["IPAM"]["Config"][0]["Gateway"])

    def runner_in(self, network: str) -> Run:
        """Return a function that runs a program in a container of its own in a network."""
        image = f"{os.environ.get('IMAGE_PREFIX', '')}library/{BASE}"
        options = ["--rm", f"--network={self.name}_{network}", "--user=10001"]
        return partial(self.engine.run, "docker", "run", *options, image)

    def wait_until_healthy(self) -> None:
        """Wait until every container with a health check is healthy."""
        until(
            lambda: all(map(_is_healthy, self.containers(all=True))),
            120, describe=self.state, interval=0.25,
        )  # fmt: skip

    @contextmanager
    def api(self) -> Iterator[httpx2.Client]:
        """Talk to the API."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = self.url("api", 8000)
        with httpx2.Client(base_url=url, headers=headers, timeout=30) as client:
            until(lambda: _answers(client), 120)
            yield client

    def post(self, kind: str, body: dict[str, str]) -> str:
        """Post a job and return its id."""
        with self.api() as api:
            answer = api.post(f"/jobs/{kind}", json=body)
            assert answer.status_code == 202, answer.text
            return str(answer.json()["id"])

    def job(self, job_id: str) -> Job:
        """Return a job's state, progress, result and error."""
        with self.api() as api:
            answer = api.get(f"/jobs/{job_id}")
            assert answer.status_code == 200, answer.text
            job: Job = answer.json()
            return job

    def ended(self, job_id: str, timeout: float = 120) -> Job:
        """Wait for the end of a job."""

        def look() -> Job | None:
            job = self.job(job_id)
            return job if job["state"] in ENDED else None

        return until(look, timeout, describe=lambda: f"{job_id} has ended", interval=0.25)

    def workers_of(self, job_id: str) -> set[str]:
        """Return the names of the containers whose log names a job."""
        return {
            str(worker.name)
            for worker in self.containers("worker")
            if job_id.encode() in worker.logs()
        }

    def write_contacts(self, name: str, rows: int) -> None:
        """Put a file with contacts where imports are looked for."""
        lines = ["email,name", *(f"{number}@example.com,{number}" for number in range(rows))]
        self.compose(
            "exec", "-T", "api", "sh", "-c",
            f"mkdir -p /data/imports && cat >/data/imports/{name}", stdin="\n".join(lines) + "\n",
        )  # fmt: skip


def override(services: dict[str, Any], private: bool) -> str:
    """Return a Compose file that lets a project run beside others, on an engine without network."""
    lines = ["services:"]
    for name, service in services.items():
        lines.append(f"  {name}:")
        if private:
            # Builds reach the package index through this machine; names outside are not looked up.
            lines.append("    dns: [127.0.0.1]")
            if "build" in service:
                lines.append("    build: {network: host}")
        if "healthcheck" in service:
            # What waits for it need not wait for the end of the first interval.
            lines.append("    healthcheck: {start_interval: 1s}")
        # The same address, if one is said, and a port that is free.
        ports = [
            f"127.0.0.1::{port.rpartition(':')[2]}" if port.startswith("127.0.0.1:")
            else port.rpartition(":")[2]
            for port in service.get("ports", [])
        ]  # fmt: skip
        lines.append(f"    ports: !override {json.dumps(ports)}")
    return "\n".join(lines) + "\n"


def _service(container: Container) -> str:
    return str(container.labels["com.docker.compose.service"])


def _is_healthy(container: Container) -> bool:
    state = container.attrs["State"]
    if state["Status"] == "exited" and state["ExitCode"] == 0:
        return True  # It had one thing to do, such as the migrations.
    return state["Running"] and state.get("Health", {}).get("Status", "healthy") == "healthy"


def _answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/livez").status_code == 200
    except httpx2.TransportError:
        return False
