"""The manifests for Kubernetes: valid, and in agreement with the rest of the project."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.kit.answers import Answers
from tests.kit.projects import Render

VERSION = "1.33"
"""The oldest Kubernetes that is still maintained."""

MANIFESTS = "deploy/kubernetes"

Resource = dict[str, Any]


@pytest.fixture
def resources(project: Path) -> list[Resource]:
    """What is applied to the cluster itself."""
    return [
        resource
        for path in kustomization(project)["resources"]
        for resource in yaml.safe_load_all((project / MANIFESTS / path).read_text())
    ]


@pytest.fixture
def deployments(resources: list[Resource]) -> dict[str, Resource]:
    return {
        resource["metadata"]["name"]: resource["spec"]
        for resource in resources
        if resource["kind"] == "Deployment"
    }


def kustomization(project: Path) -> Resource:
    content: Resource = yaml.safe_load((project / MANIFESTS / "kustomization.yaml").read_text())
    return content


def compose(project: Path) -> Resource:
    services: Resource = yaml.safe_load((project / "compose.yaml").read_text())["services"]
    return services


def pod(deployment: Resource) -> Resource:
    spec: Resource = deployment["template"]["spec"]
    return spec


def container(deployment: Resource) -> Resource:
    [only] = pod(deployment)["containers"]
    assert isinstance(only, dict)
    return only


def test_the_resources_fit_the_schemas_of_kubernetes(resources: list[Resource]) -> None:
    assert resources
    for resource in resources:
        kubernetes_validate.validate(resource, VERSION, strict=True)


def test_every_manifest_is_applied_by_one_of_the_two_commands(project: Path) -> None:
    files = {path.name for path in (project / MANIFESTS).iterdir()}
    apart = {"kustomization.yaml", "autoscaling.yaml"}
    assert files - apart == set(kustomization(project)["resources"])


def test_each_process_runs_as_in_compose(
    project: Path, answers: Answers, deployments: dict[str, Resource]
) -> None:
    services = compose(project)
    own = {name for name, service in services.items() if "build" in service} - {"flower"}
    assert set(deployments) == own
    for name, deployment in deployments.items():
        process = container(deployment)
        assert process["image"] == services[name]["image"]
        assert process.get("command") == services[name].get("command")
        environment = {variable["name"]: variable["value"] for variable in process.get("env", [])}
        of_compose = set(services[name]["environment"]) - set(services["api"]["environment"])
        assert environment == {key: str(services[name]["environment"][key]) for key in of_compose}


def test_a_selector_finds_its_own_pods_only(deployments: dict[str, Resource]) -> None:
    labels = {
        name: deployment["template"]["metadata"]["labels"]
        for name, deployment in deployments.items()
    }
    for name, deployment in deployments.items():
        selector = deployment["selector"]["matchLabels"].items()
        assert [other for other in labels if selector <= labels[other].items()] == [name]


def test_every_pod_has_the_grace_period_of_its_container_and_a_probe(
    project: Path, deployments: dict[str, Resource]
) -> None:
    grace = int(compose(project)["api"]["stop_grace_period"].removesuffix("s"))
    for name, deployment in deployments.items():
        assert pod(deployment)["terminationGracePeriodSeconds"] >= grace
        assert container(deployment)["livenessProbe"], name


def test_every_pod_is_confined(deployments: dict[str, Resource]) -> None:
    for deployment in deployments.values():
        spec = pod(deployment)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 1000
        assert spec["automountServiceAccountToken"] is False
        security = container(deployment)["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container(deployment)["resources"]["limits"]


def test_what_must_run_once_has_one_replica(deployments: dict[str, Resource]) -> None:
    single = [deployments[name] for name in {"beat"} & set(deployments)]
    if "worker" not in deployments:
        single.append(deployments["api"])  # jobs run in its process
    for deployment in single:
        assert deployment["replicas"] == 1
        assert deployment["strategy"] == {"type": "Recreate"}


def test_secrets_are_only_referred_to(project: Path, resources: list[Resource]) -> None:
    assert "Secret" not in {resource["kind"] for resource in resources}
    for path in (project / MANIFESTS).iterdir():
        assert not re.search(r"\w://[^\s/]*:[^\s/]*@", path.read_text()), path


def test_the_settings_are_read_by_the_code(project: Path, resources: list[Resource]) -> None:
    example = (project / ".env.example").read_text()
    known = set(re.findall(r"^# ([A-Z_]+)=", example, re.MULTILINE))
    [settings] = [resource for resource in resources if resource["kind"] == "ConfigMap"]
    assert set(settings["data"]) <= known


# KEDA has a schema for its resources, but none for what a trigger says.
TRIGGERS = {
    "temporal": {"endpointFromEnv", "namespace", "taskQueue", "queueTypes", "targetQueueSize"},
    "redis": {"address", "databaseIndex", "listName", "listLength"},
    "rabbitmq": {"hostFromEnv", "protocol", "queueName", "mode", "value"},
}


def test_workers_are_scaled_on_the_backlog_of_their_own_queue(
    project: Path, answers: Answers, deployments: dict[str, Resource], resources: list[Resource]
) -> None:
    path = project / MANIFESTS / "autoscaling.yaml"
    if "worker" not in deployments:
        assert not path.exists()
        return
    scaled, *authentications = yaml.safe_load_all(path.read_text())
    assert scaled["spec"]["scaleTargetRef"] == {"name": "worker"}
    assert "replicas" not in deployments["worker"]
    assert 1 <= scaled["spec"]["minReplicaCount"] < scaled["spec"]["maxReplicaCount"]

    [trigger] = scaled["spec"]["triggers"]
    assert trigger["type"] == answers.get("celery_broker", answers["task_runner"])
    metadata = trigger["metadata"]
    assert set(metadata) == TRIGGERS[trigger["type"]]
    assert all(isinstance(value, str) for value in metadata.values())
    [settings] = [resource for resource in resources if resource["kind"] == "ConfigMap"]
    queue = next(metadata[key] for key in ("taskQueue", "listName", "queueName") if key in metadata)
    assert queue in {
        settings["data"].get("TEMPORAL_TASK_QUEUE"),
        settings["data"].get("CELERY_TASK_DEFAULT_QUEUE"),
    }
    names = {authentication["metadata"]["name"] for authentication in authentications}
    if "authenticationRef" in trigger:
        assert trigger["authenticationRef"]["name"] in names


def test_a_project_without_kubernetes_has_no_trace_of_it(answers: Answers, render: Render) -> None:
    project = render({**answers, "kubernetes": False})
    files = [path for path in project.rglob("*") if path.is_file() and ".git" not in path.parts]
    said = [
        path
        for path in files
        if re.search(r"kubernetes|kubectl|keda", path.read_text(), re.IGNORECASE)
    ]
    assert [path.name for path in said] == [".copier-answers.yml"]
    assert not (project / "deploy").exists()
