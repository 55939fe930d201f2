"""What is installed on a current Python is there as a wheel, so that nobody needs a compiler."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.kit.answers import EVERY_RUNNER, Answers, name_of
from tests.kit.projects import Render
from tests.kit.repository import ROOT, tool

pytestmark = pytest.mark.slow

MACHINES = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
]


def pythons() -> list[str]:
    """Return the versions of Python that the package's metadata promises."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return re.findall(r"Python :: (3\.\d+)", "\n".join(content["project"]["classifiers"]))


def resolve(*arguments: str | Path, folder: Path) -> str:
    """Have uv resolve requirements, and return its reasons if it cannot."""
    # Which interpreter asks makes no difference, but to search for another one takes seconds.
    command = [tool("uv"), "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    done = subprocess.run(
        [*command, "--python", sys.executable, *arguments],
        cwd=folder, text=True, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    return done.stderr if done.returncode else ""


@pytest.fixture(scope="session")
def package_index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where the installer's package index cannot be asked."""
    folder = tmp_path_factory.mktemp("index")
    (folder / "one.in").write_text("packaging\n")
    if said := resolve("--no-cache", "one.in", folder=folder):
        pytest.skip(f"the package index does not answer: {said.strip()}")


def missing_wheels(project: Path, group: str, folder: Path, known: set[str]) -> dict[str, str]:
    """Return, by Python and machine, what uv says of a package that has no wheel there.

    First the versions are chosen as `uv sync` chooses them, then wheels are asked for. With both
    at once, uv would go back to an older version that has a wheel. Of a version that is `known`
    there are all wheels; those that have all are added.
    """
    oldest, *_ = pythons()
    said = resolve(
        "--universal", "--python-version", oldest, "--group", f"{project}/pyproject.toml:{group}",
        "--output-file", folder / "versions.txt", project / "pyproject.toml", folder=folder,
    )  # fmt: skip
    assert said == ""
    versions = set((folder / "versions.txt").read_text().splitlines()) - known
    (folder / "versions.txt").write_text("\n".join(sorted(versions)))
    found = {
        f"{python} on {machine}": resolve(
            "--no-deps", "--only-binary", ":all:", "--python-version", python,
            "--python-platform", machine, "versions.txt", folder=folder,
        )
        for python in pythons()
        for machine in MACHINES
    }  # fmt: skip
    missing = {where: reason for where, reason in found.items() if reason}
    if not missing:
        known |= versions
    return missing


@pytest.fixture(scope="module")
def known() -> set[str]:
    """The versions that have wheels for every Python and machine: projects share most."""
    return set()


@pytest.mark.usefixtures("package_index")
def test_every_dependency_of_lich_has_a_wheel_for_every_current_python(
    tmp_path: Path, known: set[str]
) -> None:
    assert missing_wheels(ROOT, "test", tmp_path, known) == {}


@pytest.mark.usefixtures("package_index")
@pytest.mark.parametrize("answers", EVERY_RUNNER, ids=name_of)
def test_every_dependency_of_a_project_has_a_wheel_for_every_current_python(
    answers: Answers, render: Render, tmp_path: Path, known: set[str]
) -> None:
    project = render({**answers, "python_version": pythons()[0]})
    assert missing_wheels(project, "dev", tmp_path, known) == {}


def test_a_package_that_lacks_a_wheel_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = ("cp311-cp311-macosx_11_0_arm64", "cp311-abi3-manylinux_2_28_x86_64")
    for tag in tags:
        with ZipFile(tmp_path / f"old_engine-1-{tag}.whl", "w") as wheel:
            wheel.writestr(
                "old_engine-1.dist-info/METADATA",
                "Metadata-Version: 2.1\nName: old-engine\nVersion: 1\n",
            )
            wheel.writestr(
                "old_engine-1.dist-info/WHEEL",
                f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n",
            )
            wheel.writestr("old_engine-1.dist-info/RECORD", "")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "sample"\nversion = "1"\nrequires-python = ">=3.11"\n'
        'dependencies = ["old-engine"]\n[dependency-groups]\ndev = []\n'
    )
    missing = missing_wheels(tmp_path, "dev", tmp_path, set())
    there = {f"{python} on x86_64-unknown-linux-gnu" for python in pythons()}
    there.add("3.11 on aarch64-apple-darwin")
    everywhere = {f"{python} on {machine}" for python in pythons() for machine in MACHINES}
    assert set(missing) == everywhere - there
    assert all("old-engine" in reason for reason in missing.values())
