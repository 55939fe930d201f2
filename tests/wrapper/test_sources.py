"""Where the template comes from."""

from pathlib import Path

import pytest

from tests.kit.repository import ROOT
from tests.kit.trees import Tree
from tests.wrapper.conftest import Lich, Update


@pytest.fixture
def remote(small: Tree, tmp_path: Path) -> str:
    """The small template at a URL."""
    small.git("clone", "--quiet", "--bare", ".", str(tmp_path / "remote/small.git"))
    small.git("remote", "add", "origin", str(tmp_path / "remote/small.git"))
    return f"file://{tmp_path}/remote/small.git"


def publish(small: Tree) -> None:
    small.git("push", "--quiet", "--tags", "origin", "HEAD")


def test_the_checkout_beside_the_package_is_the_first_choice(lich: Lich, tmp_path: Path) -> None:
    assert lich("init", tmp_path / "x", "-t", "none").code == 0
    assert f"_src_path: {ROOT}\n" in (tmp_path / "x/.copier-answers.yml").read_text()


def test_an_environment_variable_names_another_template(
    lich: Lich, small: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LICH_TEMPLATE", str(small.path))
    assert lich("init", tmp_path / "x", "-l").code == 0
    assert (tmp_path / "x/plain.txt").exists()


def test_a_relative_path_is_recorded_as_an_absolute_one(
    lich: Lich, small: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lich("init", "x", "--template", "./small", "-l").code == 0
    assert f"_src_path: {small.path}\n" in (tmp_path / "x/.copier-answers.yml").read_text()


def test_a_url_is_fetched_once_and_refreshed(
    lich: Lich, update: Update, small: Tree, remote: str, tmp_path: Path
) -> None:
    assert lich("init", tmp_path / "x", "--template", remote, "-l").code == 0
    project = Tree(tmp_path / "x", init=False)
    assert f"_src_path: {remote}\n" in project.read(".copier-answers.yml")
    assert lich("update", project.path, "--check").code == 0

    small.write({"template/plain.txt": "newer\n"})
    small.commit("v2.0.0")
    publish(small)
    assert lich("update", project.path, "--check").code == 4
    assert update(project).code == 0
    assert project.read("plain.txt") == "newer\n"


def test_a_broken_or_unwritable_cache_is_passed_over(
    lich: Lich, remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lich("init", tmp_path / "a", "--template", remote, "-l")
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    lich("init", tmp_path / "b", "--template", remote, "-l")
    for pack in cache.rglob("objects"):
        for path in sorted(pack.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
    assert lich("init", tmp_path / "c", "--template", remote, "-l").code == 0
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert lich("init", tmp_path / "d", "--template", remote, "-l").code == 0
    assert (tmp_path / "d/plain.txt").exists()


def test_a_bare_repository_is_a_template(lich: Lich, remote: str, tmp_path: Path) -> None:
    path = remote.removeprefix("file://")
    assert lich("init", tmp_path / "x", "--template", path, "-l").code == 0
