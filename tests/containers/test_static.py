"""What can be known of the containers and the workflows without running them."""

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.containers import engine as engines
from tests.containers.engine import Engine
from tests.kit.answers import EVERY_TWO, Answers
from tests.kit.projects import Render, look_up
from tests.kit.repository import BIN, ROOT

PROFILES = {
    "temporal": ["dev", "slow", "tls"],
    "celery": ["dev", "flower", "slow", "tls"],
    "none": ["dev", "tls"],
}
TOOLS = f"{BIN}:/usr/bin:/bin"
PASSWORDS = {
    "POSTGRES_PASSWORD": "a-password",
    "REDIS_PASSWORD": "a-password",
    "RABBITMQ_PASSWORD": "a-password",
}
ENVIRONMENT = {**PASSWORDS, "IMAGE_PREFIX": "mirror.example.com/"}

# Of yamllint's own rules, without those that are a matter of taste.
YAML_RULES = """
extends: default
rules:
  comments: {min-spaces-from-content: 1}
  document-start: disable
  line-length: {max: 130}
  truthy: {check-keys: false}
"""


@pytest.fixture(scope="session")
def projects(render: Render) -> list[Path]:
    """Projects in which any two answers meet."""
    return [render(answers) for answers in EVERY_TWO]


@pytest.fixture(scope="session")
def workflows(projects: list[Path]) -> list[Path]:
    """The workflows of this repository and of every project."""
    return [
        workflow
        for repository in [ROOT, *projects]
        for workflow in sorted((repository / ".github/workflows").glob("*.yml"))
    ]


@pytest.fixture(scope="session")
def dependabot(projects: list[Path]) -> list[Path]:
    """Dependabot's configuration in this repository and in every project."""
    return [repository / ".github/dependabot.yml" for repository in [ROOT, *projects]]


@pytest.fixture(scope="session")
def composer() -> Engine:
    """Docker's client with its Compose plugin; what is asked here needs no engine."""
    return engines.client_or_skip()


def lint(tool: str, *arguments: str | Path) -> str:
    """Return the findings of a tool, by preference of the one beside this Python."""
    done = subprocess.run(
        [tool, *arguments], cwd=ROOT, env={"PATH": TOOLS},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() if done.returncode else ""


def compose(project: Path, composer: Engine, *arguments: str, **environment: str) -> str:
    folder = ["--project-directory", str(project), "--file", str(project / "compose.yaml")]
    return composer.run("docker", "compose", *folder, *arguments, **environment)


def configuration(project: Path, composer: Engine) -> dict[str, Any]:
    """Return what Compose makes of compose.yaml, with every profile."""
    text = compose(
        project, composer, "--profile=*", "config", "--format=json", "--no-path-resolution",
        **ENVIRONMENT,
    )  # fmt: skip
    services: dict[str, Any] = json.loads(text)["services"]
    return services


def test_hadolint_finds_nothing(projects: list[Path]) -> None:
    assert lint("hadolint", *(project / "Dockerfile" for project in projects)) == ""


def test_yamllint_finds_nothing(projects: list[Path], workflows: list[Path]) -> None:
    files = [
        file
        for project in projects
        for file in [
            project / "compose.yaml",
            project / ".pre-commit-config.yaml",
            project / ".github/dependabot.yml",
            *project.glob("deploy/**/*.yaml"),
        ]
    ]
    files += [ROOT / ".pre-commit-config.yaml", *(ROOT / ".github").rglob("*.yml")]
    assert lint("yamllint", "--strict", "-d", YAML_RULES, *files, *workflows) == ""


def test_compose_files_fit_the_schema(projects: list[Path]) -> None:
    files = [project / "compose.yaml" for project in projects]
    assert lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *files) == ""


def test_workflows_fit_the_schema(workflows: list[Path]) -> None:
    schema = "vendor.github-workflows"
    assert lint("check-jsonschema", "--builtin-schema", schema, *workflows) == ""


def test_dependabots_configuration_fits_the_schema(dependabot: list[Path]) -> None:
    assert lint("check-jsonschema", "--builtin-schema", "vendor.dependabot", *dependabot) == ""


def test_the_issue_forms_fit_the_schema() -> None:
    folder = ROOT / ".github/ISSUE_TEMPLATE"
    forms = [form for form in folder.glob("*.yml") if form.name != "config.yml"]
    assert lint("check-jsonschema", "--builtin-schema", "vendor.github-issue-forms", *forms) == ""
    schema = "vendor.github-issue-config"
    assert lint("check-jsonschema", "--builtin-schema", schema, folder / "config.yml") == ""


def test_pre_commit_accepts_its_configuration(projects: list[Path]) -> None:
    files = [repository / ".pre-commit-config.yaml" for repository in [ROOT, *projects]]
    assert lint("pre-commit", "validate-config", *files) == ""


def test_actionlint_finds_nothing(workflows: list[Path]) -> None:
    assert lint("actionlint", "-no-color", *workflows) == ""


def test_shellcheck_finds_nothing(projects: list[Path]) -> None:
    # Where it has no wheel (Linux on arm64), one that is installed otherwise is used.
    if shutil.which("shellcheck", path=TOOLS) is None:
        pytest.skip("there is no shellcheck on this machine")
    scripts = [ROOT / ".ci/run", *sorted((ROOT / "tests/containers/stand_ins").glob("*.sh"))]
    scripts += [script for project in projects for script in project.glob("deploy/*.sh")]
    assert lint("shellcheck", *scripts) == ""


def test_zizmor_finds_nothing(workflows: list[Path], dependabot: list[Path]) -> None:
    files = [*workflows, *dependabot]
    found = lint("zizmor", "--offline", "--no-progress", "--persona=pedantic", *files)
    assert found == ""


def test_no_finding_is_silenced(
    projects: list[Path], workflows: list[Path], dependabot: list[Path]
) -> None:
    silencers = re.compile(r"hadolint ignore|zizmor: ignore|yamllint disable|shellcheck disable")
    files = [
        *workflows,
        *dependabot,
        *(project / name for project in projects for name in CONTAINER_FILES),
        *(script for project in projects for script in project.glob("deploy/*.sh")),
    ]
    assert [file for file in files if silencers.search(file.read_text())] == []


CONTAINER_FILES = ("Dockerfile", "compose.yaml")


def test_compose_accepts_every_combination_of_profiles(
    project: Path, answers: Answers, composer: Engine
) -> None:
    profiles = PROFILES[str(answers["task_runner"])]
    for count in range(len(profiles) + 1):
        for chosen in combinations(profiles, count):
            options = [f"--profile={profile}" for profile in chosen]
            assert compose(project, composer, *options, "config", "--quiet", **ENVIRONMENT) == ""


def test_exactly_the_services_of_the_runner_are_there(
    project: Path, answers: Answers, composer: Engine
) -> None:
    services = {
        "temporal": {"temporal", "temporal-ui", "worker", "worker-slow"},
        "celery": {"redis", "worker", "worker-slow", "beat", "flower"},
        "none": set(),
    }[str(answers["task_runner"])]
    if answers.get("celery_broker") == "rabbitmq":
        services |= {"rabbitmq"}
    if answers.get("database") == "postgresql":
        services |= {"postgres"}
    assert set(configuration(project, composer)) == {"api", "caddy", "mail", "migrate", *services}


def test_every_service_is_bounded_and_kept_to_this_machine(project: Path, composer: Engine) -> None:
    for name, service in configuration(project, composer).items():
        restarts = {"no"} if name == "migrate" else {"unless-stopped", "on-failure:3"}
        assert service["restart"] in restarts, name
        assert set(service["deploy"]["resources"]["limits"]) >= {"cpus", "memory", "pids"}, name
        assert service["logging"] == {"driver": "local"}, name
        for port in service.get("ports", []):
            if name == "caddy":
                assert "host_ip" not in port
            else:
                assert port["host_ip"] == "127.0.0.1", name


def test_the_proxy_shares_a_network_with_the_api_alone(project: Path, composer: Engine) -> None:
    services = configuration(project, composer)
    assert set(services["caddy"]["networks"]) == {"edge"}
    assert {name for name in services if "edge" in services[name]["networks"]} == {"api", "caddy"}


def test_an_engine_is_in_a_network_without_a_way_out(projects: list[Path]) -> None:
    for project in projects:
        content = yaml.safe_load((project / "compose.yaml").read_text())
        services, networks = content["services"], content["networks"]
        engines = {"temporal", "redis", "rabbitmq", "postgres"} & set(services)
        assert networks.get("engine") == ({"internal": True} if engines else None)
        for name in engines - {"temporal"}:
            assert services[name]["networks"] == ["engine"]
            assert "ports" not in services[name]
        inside = {name for name in services if "engine" in services[name].get("networks", ())}
        assert inside == (set(services) - {"caddy", "mail"} if engines else set())


def test_every_dependency_has_a_health_check(project: Path, composer: Engine) -> None:
    services = configuration(project, composer)
    for service in services.values():
        for name, dependency in service.get("depends_on", {}).items():
            if name == "migrate":
                assert dependency["condition"] == "service_completed_successfully"
            else:
                assert dependency["condition"] == "service_healthy"
                assert services[name]["healthcheck"]["test"]


def test_our_own_processes_are_confined_and_have_time_to_end(
    project: Path, composer: Engine
) -> None:
    for name, service in configuration(project, composer).items():
        if "build" in service:
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert service["stop_grace_period"] == "35s", name
            assert name == "migrate" or service["healthcheck"]["test"], name


def test_every_image_is_pinned_and_can_come_from_a_mirror(project: Path, composer: Engine) -> None:
    for name, service in configuration(project, composer).items():
        if "build" in service:
            assert service["build"]["args"] == {
                "IMAGE_PREFIX": "mirror.example.com/",
                "OIDC": "",
            }, name
        else:
            pattern = r"mirror\.example\.com/[\w-]+/[\w-]+:v?\d+\.\d+[\w.-]*"
            assert re.fullmatch(pattern, service["image"]), name


def test_every_image_that_is_kept_up_to_date_is_run_by_some_project(projects: list[Path]) -> None:
    kept = yaml.safe_load((ROOT / ".github/images/compose.yaml").read_text())["services"]
    run = {
        (name, service["image"].removeprefix("${IMAGE_PREFIX:-}"))
        for project in projects
        for name, service in yaml.safe_load((project / "compose.yaml").read_text())[
            "services"
        ].items()
        if "image" in service and "build" not in service and name != "temporal"
    }
    assert {(name, service["image"]) for name, service in kept.items()} == run


def test_no_password_has_a_default(project: Path, answers: Answers, composer: Engine) -> None:
    required = [name for name in PASSWORDS if name in (project / "compose.yaml").read_text()]
    of_celery = ["REDIS_PASSWORD"] if answers["task_runner"] == "celery" else []
    of_rabbitmq = ["RABBITMQ_PASSWORD"] if answers.get("celery_broker") == "rabbitmq" else []
    of_postgresql = ["POSTGRES_PASSWORD"] if answers.get("database") == "postgresql" else []
    assert required == of_postgresql + of_celery + of_rabbitmq
    for name in required:
        with pytest.raises(AssertionError, match=rf"{name} is missing a value: sh deploy/passw"):
            compose(project, composer, "config", "--quiet", **{**PASSWORDS, name: ""})
    assert compose(project, composer, "config", "--quiet", **PASSWORDS) == ""


def test_one_command_writes_every_required_password_once(
    answers: Answers, composer: Engine, render: Render, tmp_path: Path
) -> None:
    if answers["task_runner"] != "celery":
        return
    project = tmp_path / "project"
    shutil.copytree(render(answers), project)
    env = project / ".env"
    env.write_text("RETENTION_DAYS=7")
    for _ in range(2):
        subprocess.run(["sh", "deploy/passwords.sh"], cwd=project, check=True)
    assert compose(project, composer, "config", "--quiet") == ""
    first, *passwords = env.read_text().splitlines()
    assert first == "RETENTION_DAYS=7"
    assert all(re.fullmatch(r"[A-Z]+_PASSWORD=[0-9a-f]{48}", line) for line in passwords)
    assert len(passwords) == (3 if answers["celery_broker"] == "rabbitmq" else 1)
    assert env.stat().st_mode & 0o777 == 0o600


SHUTDOWN_TIMEOUTS = {
    "temporal": "internal.runner.worker:GRACE",
    "celery": "internal.celery_app:app.conf.worker_soft_shutdown_timeout",
    "none": "internal.runner.pool:DRAIN_TIMEOUT",
}


def test_a_container_is_given_more_time_to_end_than_its_process_takes(
    project: Path, answers: Answers
) -> None:
    services = yaml.safe_load((project / "compose.yaml").read_text())["services"].values()
    graces = {service["stop_grace_period"] for service in services if "build" in service}
    name = SHUTDOWN_TIMEOUTS[str(answers["task_runner"])]
    seconds = look_up(project, name)[name]
    assert isinstance(seconds, int | float)
    assert {int(grace.removesuffix("s")) >= seconds + 5 for grace in graces} == {True}


def test_the_docker_context_holds_only_what_the_image_needs(project: Path) -> None:
    kept = (project / ".dockerignore").read_text().splitlines()
    assert kept[0] == "*"
    copied = re.findall(
        r"^COPY (?!--from)(.+) \S+$", (project / "Dockerfile").read_text(), re.MULTILINE
    )
    names = {name.replace("loc[k]", "lock") for names in copied for name in names.split()}
    assert {line.strip("!/") for line in kept if line.startswith("!")} == names


def test_the_actions_are_the_same_in_both_workflows(workflows: list[Path]) -> None:
    uses = [
        {
            step["uses"]
            for job in yaml.safe_load(workflow.read_text())["jobs"].values()
            for step in job["steps"]
            if "uses" in step
        }
        for workflow in workflows
    ]
    assert all(one == uses[0] for one in uses)
