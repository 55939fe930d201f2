"""How the tests of the wrapper run commands and build templates."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lich_wrapper.cli import run
from tests.wrapper.files import Tree


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Lich = Callable[..., Result]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep fetched templates out of the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def lich(capfd: pytest.CaptureFixture[str]) -> Lich:
    """Run a `lich` command in this process and return what a user would see."""

    def call(*arguments: object) -> Result:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return call


@pytest.fixture
def small(tmp_path: Path) -> Tree:
    """A template of a few files, as version v1.0.0."""
    tree = Tree(tmp_path / "small")
    tree.write(
        {
            "copier.yml": """\
                _subdirectory: template
                name: {type: str, default: x}
                task_runner: {type: str, choices: [temporal, celery, none], default: temporal}
                """,
            "template/{{ _copier_conf.answers_file }}.jinja": "{{ _copier_answers|to_nice_yaml -}}",
            "template/name.txt.jinja": "{{ name }}\n",
            "template/plain.txt": "one\ntwo\nthree\n",
        }
    )
    tree.commit("v1.0.0")
    return tree
