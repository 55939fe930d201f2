"""Free text is rendered as it is in every file, or refused in one sentence."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import copier
import pytest
import yaml

from tests.kit.answers import EVERY_RUNNER, Answers, name_of
from tests.kit.projects import Render
from tests.kit.repository import ROOT

UNUSUAL = [
    'My "Cool" App',
    "Bob's App",
    "پروژه من",
    "a: b",
    "{{ 7*7 }}",
    "{% raw %}",
    "🦴 bones",
    "50% & <more>",
    "# no comment",
    "${HOME}",
    "x" * 80,
]


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_name_is_rendered_as_it_is(name: str, render: Render) -> None:
    project = render({"project_name": name, "description": f"It is {name}."})
    content = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    readme = (project / "README.md").read_text(encoding="utf-8")

    assert content["project"]["description"] == f"It is {name}."
    assert answers["project_name"] == name
    assert f"# {name}\n" in readme
    assert f"It is {name}.\n" in readme
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", content["project"]["name"])


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("My App", "my-app"),
        ("Ünïcode 2", "n-code-2"),
        ("پروژه من", "app"),
        ("2nd try", "nd-try"),
        ("--x--", "x"),
        ("y" * 60, "y" * 36),
        ("a" * 35 + " b", "a" * 35),
        ("Celery", "celery-app"),
    ],
)
def test_a_name_gives_a_slug(name: str, slug: str, render: Render) -> None:
    project = render({"project_name": name})
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert answers["project_slug"] == slug


@pytest.mark.parametrize(
    ("question", "value", "reason"),
    [
        ("project_name", "", "is empty"),
        ("project_name", " ", "is empty"),
        ("project_name", " x", "white space"),
        ("project_name", "x" * 300, "at most 80"),
        ("project_name", "../x", "slash"),
        ("project_name", "a\\b", "backslash"),
        ("project_name", "..", "only dots"),
        ("project_name", "a\nb", "line break"),
        ("project_name", "a\x1b[31m", "control character"),
        ("project_slug", "My App", "lower-case"),
        ("project_slug", "-x", "lower-case"),
        ("project_slug", "x\n", "lower-case"),
        ("project_slug", "x" * 41, "at most 40"),
        ("project_slug", "fastapi", "name of a package"),
        ("description", "a\nb", "line break"),
        ("description", "x" * 201, "at most 200"),
        ("task_runner", "cron", "cron"),
        ("docs_language", "de", "de"),
        ("python_version", "2.7", "2.7"),
    ],
)
def test_a_bad_answer_is_refused_and_nothing_is_written(
    question: str, value: str, reason: str, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    with pytest.raises(ValueError, match=reason):
        copier.run_copy(
            str(ROOT), project, {question: value}, vcs_ref="HEAD", defaults=True, quiet=True
        )
    assert not project.exists()


@pytest.mark.parametrize("answers", EVERY_RUNNER, ids=name_of)
def test_no_project_has_the_name_of_a_package_that_it_installs(
    answers: Answers, render: Render
) -> None:
    project = render(answers)
    content = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    installed = [
        *content["project"]["dependencies"],
        *chain(*content["dependency-groups"].values()),
    ]
    questions = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    refused = set(yaml.safe_load(questions["package_names"]["default"]))
    names = {re.split(r"[^a-z0-9-]", name)[0] for name in installed if isinstance(name, str)}
    assert names <= refused
