"""How the tests of the wrapper run commands, and the small template they run them on."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lich_wrapper.cli import run
from tests.kit.trees import Tree

ANSWERS = "{{ _copier_answers|to_nice_yaml -}}\n"

UNEDITED = "one\ntwo\nthree\n"
"""What the small template has in `plain.txt`."""


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Updated:
    """What an update did, as `--json` reports it."""

    code: int
    err: str
    report: dict[str, Any]

    def files(self, result: str) -> list[str]:
        return [file["path"] for file in self.report["files"] if file["result"] == result]


Lich = Callable[..., Result]
Update = Callable[..., Updated]


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
def update(lich: Lich) -> Update:
    """Update a project, after a dry run that changes nothing and reports the same."""

    def call(project: Tree, *arguments: object) -> Updated:
        before = project.state()
        preview = lich("update", project.path, *arguments, "--dry-run", "--json")
        assert project.state() == before
        done = lich("update", project.path, *arguments, "--json")

        assert (preview.code, preview.err) == (done.code, done.err)
        if not done.out:
            return Updated(done.code, done.err, {})
        report, expected = json.loads(done.out), json.loads(preview.out)
        for same in ("files", "diff", "answers", "problem", "hints", "notes", "from", "to"):
            assert report.get(same) == expected.get(same)
        return Updated(done.code, done.err, report)

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
            "template/{{ _copier_conf.answers_file }}.jinja": ANSWERS,
            "template/name.txt.jinja": "{{ name }}\n",
            "template/plain.txt": UNEDITED,
            "template/{{ task_runner }}.txt": "of one runner\n",
        }
    )
    tree.commit("v1.0.0")
    return tree


@pytest.fixture
def project(small: Tree, lich: Lich, tmp_path: Path) -> Tree:
    """A project from the small template, as `lich init` leaves it."""
    assert lich("init", tmp_path / "project", "--template", small.path, "-l").code == 0
    return Tree(tmp_path / "project", init=False)
