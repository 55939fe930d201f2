"""The installed package carries the template and needs no git host."""

import json
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml

from tests.conftest import RELEASE
from tests.kit.processes import CommandFailed, run
from tests.kit.trees import Tree, git, snapshot

UV = [sys.executable, "-m", "uv", "--quiet"]
CANONICAL = "https://git.lich.example/lich.git"


@pytest.fixture(scope="module")
def built(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel from the checkout, and one from its source distribution."""
    out = tmp_path_factory.mktemp("dist")
    run(*UV, "build", "--wheel", "--out-dir", out / "checkout", template)
    run(*UV, "build", "--sdist", "--out-dir", out, template)
    [sdist] = out.glob("*.tar.gz")
    run(*UV, "build", "--wheel", "--out-dir", out / "sdist", sdist)
    return {name: next((out / name).glob("*.whl")) for name in ("checkout", "sdist")}


def install(wheel: Path | str, folder: Path) -> Path:
    """Install a package into an environment that borrows its dependencies from this one."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    run(*UV, "pip", "install", "--no-deps", "--python", python, wheel)
    [packages] = folder.glob("lib/*/site-packages")
    # As a plain path behind the environment's own: of this one's packages only the
    # dependencies are found there.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "lich"


@pytest.mark.slow
@pytest.mark.parametrize("origin", ["checkout", "sdist"])
def test_a_wheel_makes_and_updates_projects_without_a_git_host(
    built: dict[str, Path], tmp_path: Path, template: Path, origin: str
) -> None:
    lich = install(built[origin], tmp_path / "an environment")
    run(lich, "init", "x", "-t", "celery", "-l", cwd=tmp_path)
    recorded = (tmp_path / "x/.copier-answers.yml").read_text()
    assert f"_commit: {RELEASE}\n_src_path: {CANONICAL}\n" in recorded

    run(lich, "update", "-t", "none", cwd=tmp_path / "x")
    assert "task_runner: none" in (tmp_path / "x/.copier-answers.yml").read_text()
    git(tmp_path / "x", "commit", "--quiet", "--all", "-m", "Switch")
    run(lich, "init", "fresh/x", "-t", "none", "-l", cwd=tmp_path)
    assert snapshot(tmp_path / "x") == snapshot(tmp_path / "fresh/x")


@pytest.mark.slow
def test_a_wheel_holds_all_the_history_under_names(built: dict[str, Path], tmp_path: Path) -> None:
    lich = install(built["checkout"], tmp_path / "env")
    [package] = lich.parent.parent.glob("lib/*/site-packages/lich_wrapper")
    pin = json.loads((package / "template.json").read_text())
    heads = git(tmp_path, "bundle", "list-heads", str(package / "template.bundle"))
    assert f"{pin['commit']} refs/heads/lich" in heads
    assert f"refs/tags/{RELEASE}" in heads
    assert pin["name"] == RELEASE


@pytest.mark.slow
def test_a_package_of_a_commit_without_a_release_records_it_and_its_own_url(
    template: Path, tmp_path: Path
) -> None:
    clone = Tree(tmp_path / "clone", init=False)
    git(tmp_path, "clone", "--quiet", str(template), str(clone.path))
    for tag in clone.git("tag").split():
        clone.git("tag", "--delete", tag)
    pyproject = clone.read("pyproject.toml")
    clone.write({"pyproject.toml": pyproject.replace(CANONICAL, "https://fork.example/x.git")})
    clone.commit()
    run(*UV, "build", "--wheel", "--out-dir", tmp_path / "dist", clone.path)
    lich = install(next((tmp_path / "dist").glob("*.whl")), tmp_path / "env")
    run(lich, "init", "x", "-t", "none", "-l", cwd=tmp_path)
    recorded = yaml.safe_load((tmp_path / "x/.copier-answers.yml").read_text())
    assert recorded["_commit"] == clone.git("rev-parse", "--short", "HEAD")
    assert recorded["_src_path"] == "https://fork.example/x.git"


@pytest.mark.slow
def test_a_package_from_git_records_where_it_was_installed_from(
    template: Path, tmp_path: Path
) -> None:
    lich = install(f"git+file://{template}@{RELEASE}", tmp_path / "env")
    run(lich, "init", "x", "-t", "none", "-l", cwd=tmp_path)
    recorded = (tmp_path / "x/.copier-answers.yml").read_text()
    assert f"_src_path: git+file://{template}\n" in recorded


@pytest.mark.slow
def test_a_shallow_clone_is_not_built(template: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{template}", "shallow")
    with pytest.raises(CommandFailed, match="git fetch --unshallow"):
        run(*UV[:3], "build", "--wheel", "--out-dir", tmp_path, tmp_path / "shallow")
