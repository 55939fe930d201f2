"""What the template must keep to, so that every project ever made can be updated."""

import re
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest
import yaml

from lich_wrapper.template.answers import Questions
from tests.conftest import RELEASE
from tests.kit.repository import ROOT, RUNNERS
from tests.kit.trees import Tree, git, snapshot
from tests.wrapper.conftest import Lich, Update


def earlier_releases() -> list[str]:
    return [tag for tag in git(ROOT, "tag", "--list").splitlines() if tag != RELEASE]


def test_the_questions_are_the_recorded_ones() -> None:
    """A name or a choice that changes resets an answer in projects that exist."""
    questions = Questions.read(ROOT)
    asked = {
        name: list(questions[name].choices) or questions[name].type for name in questions.asked()
    }
    golden = Path(__file__).with_name("questions.golden.yml").read_text()
    assert asked == yaml.safe_load(golden)


def test_no_answer_is_a_secret() -> None:
    config = yaml.safe_load((ROOT / "copier.yml").read_text())
    assert "_secret_questions" not in config
    assert not [name for name, its in config.items() if isinstance(its, dict) and its.get("secret")]


def test_the_template_needs_no_trust() -> None:
    config = yaml.safe_load((ROOT / "copier.yml").read_text())
    assert not {"_tasks", "_migrations", "_jinja_extensions"} & config.keys()


def test_every_tag_is_a_release() -> None:
    """Copier silently takes HEAD for the newest version if a tag is not one."""
    assert [tag for tag in earlier_releases() if not re.fullmatch(r"v\d+\.\d+\.\d+", tag)] == []


@pytest.mark.parametrize("runner", RUNNERS)
def test_no_file_of_a_project_is_ignored_in_it(
    lich: Lich, template: Path, tmp_path: Path, runner: str
) -> None:
    """What git ignores, Copier overwrites at every update, edited or not."""
    lich("init", tmp_path / "x", "--template", template, "-l", "-t", runner, "--no-git")
    git(tmp_path / "x", "init", "--quiet")
    git(tmp_path / "x", "add", "--all")
    assert git(tmp_path / "x", "status", "--porcelain", "--ignored=matching").count("!!") == 0


def test_copier_s_own_update_follows_a_project_of_lich(
    lich: Lich, template: Path, tmp_path: Path
) -> None:
    lich("init", tmp_path / "x", "--template", template, "-l", "-t", "none")
    command = ["-m", "copier", "update", "-l", "-d", "task_runner=celery"]
    subprocess.run([sys.executable, *command], cwd=tmp_path / "x", check=True)
    lich("init", tmp_path / "y/x", "--template", template, "-l", "-t", "celery")
    assert snapshot(tmp_path / "x") == snapshot(tmp_path / "y/x")


@pytest.mark.slow
@pytest.mark.parametrize(("old", "new"), list(permutations(RUNNERS, 2)), ids="-".join)
def test_a_switch_makes_a_fresh_project_and_back_the_first_one(
    lich: Lich, update: Update, template: Path, tmp_path: Path, old: str, new: str
) -> None:
    for runner in (old, new):
        lich("init", tmp_path / runner / "app", "--template", template, "-l", "-t", runner)
    project = Tree(tmp_path / old / "app", init=False)
    first = snapshot(project.path)
    project.write({"internal/services/mine.py": "MINE = 1\n"})
    project.commit()

    assert update(project, "-t", new).code == 0
    project.commit()
    switched = snapshot(project.path)
    assert switched.pop("internal/services/mine.py") == ("file", b"MINE = 1\n")
    assert switched == snapshot(tmp_path / new / "app")

    assert update(project, "-t", old).code == 0
    back = snapshot(project.path)
    assert back.pop("internal/services/mine.py")
    assert back == first


@pytest.mark.slow
@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("release", earlier_releases() or [RELEASE])
def test_an_update_from_every_release_makes_a_fresh_project(
    lich: Lich, update: Update, template: Path, tmp_path: Path, release: str, runner: str
) -> None:
    common = ["--template", template, "-l", "-t", runner]
    lich("init", tmp_path / "old/app", *common, "-r", release)
    lich("init", tmp_path / "new/app", *common)
    assert update(Tree(tmp_path / "old/app", init=False)).code == 0
    assert snapshot(tmp_path / "old/app") == snapshot(tmp_path / "new/app")
