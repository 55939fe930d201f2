"""Fixtures that every suite shares: the template as a release, and the commands."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RELEASE = "v99.0.0"


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the settings and the identity of whoever runs the suite out of it."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "gitconfig").write_text(
        "[user]\n\tname = Test\n\temail = test@example.com\n[init]\n\tdefaultBranch = main\n"
    )
    (folder / "copier.yml").write_text("{}\n")
    for name in [name for name in os.environ if name.startswith(("GIT_", "LICH_", "COPIER_"))]:
        del os.environ[name]
    os.environ |= {
        "COPIER_CACHE_DIR": str(folder / "copier"),
        "COPIER_SETTINGS_PATH": str(folder / "copier.yml"),
        "GIT_CONFIG_GLOBAL": str(folder / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "NO_COLOR": "1",
    }


@pytest.fixture(scope="session", autouse=True)
def interrupts() -> None:
    """Let processes be interrupted, even if the suite runs where a shell made it immune."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, own_settings: None) -> Path:
    """The working tree as a repository of its own, tagged as the newest release."""
    clone = tmp_path_factory.mktemp("template") / "lich"
    git(ROOT, "clone", "--quiet", "--no-checkout", str(ROOT), str(clone))
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if os.path.lexists(ROOT / name):
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name, follow_symlinks=False)
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--allow-empty", "--no-verify", "-m", "Release")
    git(clone, "tag", RELEASE)
    return clone


def git(directory: Path, *arguments: str) -> str:
    """Return what git prints in a directory."""
    done = subprocess.run(
        ["git", *arguments], cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")
