"""Facts that stand in several files of a project are the same in all of them."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kit.answers import EVERY_RUNNER, Answers, name_of
from tests.kit.projects import Render
from tests.kit.repository import ROOT


@pytest.fixture(params=EVERY_RUNNER, ids=name_of)
def project(request: pytest.FixtureRequest, render: Render) -> Path:
    answers: Answers = {**request.param, "docs_language": "en", "python_version": "3.12"}
    return render(answers)


def pyproject(project: Path) -> dict[str, Any]:
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))


def compose(project: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((project / "compose.yaml").read_text(encoding="utf-8"))
    return content


def test_the_python_floor_is_one(project: Path) -> None:
    content = pyproject(project)
    workflow = yaml.safe_load((project / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    tested = workflow["jobs"]["check"]["strategy"]["matrix"]["python"]
    images = re.findall(
        r"^FROM \S*python:([\d.]+)-",
        (project / "Dockerfile").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    floor = "3.12"
    assert content["project"]["requires-python"] == f">={floor}"
    assert content["tool"]["mypy"]["python_version"] == floor
    assert tested[0] == floor
    assert set(images) == {floor}


def test_the_slug_names_the_package_and_the_image(project: Path) -> None:
    services = compose(project)
    assert pyproject(project)["project"]["name"] == "sample-project"
    assert services["name"] == "sample-project"
    assert services["services"]["api"]["image"] == "sample-project"


def test_the_api_port_is_one(project: Path) -> None:
    port = "8000"
    assert compose(project)["services"]["api"]["ports"] == [
        f"127.0.0.1:${{API_PORT:-{port}}}:{port}"
    ]
    assert f"--port ${{API_PORT:-{port}}}" in (project / "Procfile").read_text(encoding="utf-8")
    caddyfile = (project / "deploy/Caddyfile").read_text(encoding="utf-8")
    assert f"reverse_proxy api:{port}\n" in caddyfile
    assert f'"--port", "{port}"' in (project / "Dockerfile").read_text(encoding="utf-8")
    assert f"http://127.0.0.1:{port}" in (project / "README.md").read_text(encoding="utf-8")


def test_published_ports_are_open_to_this_machine_only_but_for_those_of_the_proxy(
    project: Path,
) -> None:
    services = compose(project)["services"]
    assert services.pop("caddy")["ports"] == ["80:80", "443:443"]
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


def test_containers_run_no_process_as_root(project: Path) -> None:
    dockerfile = (project / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE)[-1] == "10001:10001"


def test_the_environment_of_the_containers_is_read_by_the_code(project: Path) -> None:
    example = (project / ".env.example").read_text(encoding="utf-8")
    known = set(re.findall(r"^# ([A-Z_]+)=", example, re.MULTILINE))
    app = compose(project)["x-app"]
    assert set(app["environment"]) <= known


def test_the_hooks_run_what_ci_runs(project: Path) -> None:
    # CI has prepared the environment by then.
    preparation = re.compile(r"pip install|uv sync|git grep|docker build")
    hooks = yaml.safe_load((project / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    workflow = yaml.safe_load((project / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = [
        step["run"]
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if "run" in step and not preparation.search(step["run"])
    ]
    assert [hook["entry"] for hook in hooks["repos"][0]["hooks"]] == steps


def test_the_hooks_download_nothing(project: Path) -> None:
    for repository in (project, ROOT):
        text = (repository / ".pre-commit-config.yaml").read_text(encoding="utf-8")
        [source] = yaml.safe_load(text)["repos"]
        assert source["repo"] == "local"
        assert {hook["language"] for hook in source["hooks"]} == {"system"}


def test_the_development_server_is_the_one_that_is_tested_here(project: Path) -> None:
    ours = pyproject(ROOT)["dependency-groups"]["test"]
    theirs = pyproject(project)["dependency-groups"]["dev"]
    pinned = [each for each in theirs if isinstance(each, str) and re.search("==[0-9]", each)]
    assert [each for each in pinned if each not in ours] == []
