"""The manifests for Kubernetes: valid, and in agreement with the rest of the project."""

import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.kit.answers import Answers
from tests.kit.processes import user_environment
from tests.kit.projects import Render
from tests.kit.repository import tool

VERSION = "1.33"
"""The oldest Kubernetes that is still maintained."""

MANIFESTS = "deploy/kubernetes"

APART = {"autoscaling.yaml", "engine.yaml", "ingress.yaml"}
"""What is applied by a command of its own, after an edit."""

DIGEST = "sha256:" + 64 * "0"

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


def as_applied(project: Path, resource: Resource) -> Resource:
    """Return a resource with the namespace and the images that `kubectl apply -k` gives it."""
    settings = kustomization(project)
    resource["metadata"]["namespace"] = settings["namespace"]
    images = {image["name"]: image["newName"] for image in settings["images"]}
    if resource["kind"] == "Deployment":
        process = container(resource["spec"])
        # As after `kustomize edit set image`.
        process["image"] = f"{images[process['image']]}@{DIGEST}"
        for first in pod(resource["spec"]).get("initContainers", []):
            first["image"] = process["image"]
    return resource


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


def test_what_is_applied_apart_fits_the_schemas_of_kubernetes(project: Path) -> None:
    known = [
        resource
        for path in (project / MANIFESTS).iterdir()
        if path.name in APART
        for resource in yaml.safe_load_all(path.read_text())
        if resource["apiVersion"].partition("/")[0] != "keda.sh"
    ]
    assert known
    for resource in known:
        kubernetes_validate.validate(resource, VERSION, strict=True)


def test_every_manifest_is_applied_with_the_others_or_apart(project: Path) -> None:
    files = {path.name for path in (project / MANIFESTS).iterdir()}
    assert files - APART - {"kustomization.yaml"} == set(kustomization(project)["resources"])
    page = (project / "docs/kubernetes.md").read_text()
    for name in files & APART:
        assert f"-f {MANIFESTS}/{name}\n" in page


@pytest.mark.slow
def test_checkov_finds_nothing(project: Path, resources: list[Resource], tmp_path: Path) -> None:
    applied = [as_applied(project, resource) for resource in resources]
    for path in (project / MANIFESTS).iterdir():
        if path.name in APART:
            applied += [
                as_applied(project, resource) for resource in yaml.safe_load_all(path.read_text())
            ]
    (tmp_path / "applied.yaml").write_text(yaml.safe_dump_all(applied))
    # An environment of its own: its dependencies do not fit those of this suite.
    checkov = [str(tool("uvx")), "checkov@3.3.30", "--quiet", "--compact", "--skip-download"]
    done = subprocess.run(
        [*checkov, "--framework=kubernetes", "--directory", str(tmp_path)],
        env=user_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "Failed checks: 0" in done.stdout


def test_every_finding_that_is_skipped_has_its_reason(resources: list[Resource]) -> None:
    skipped = {
        value
        for resource in resources
        for name, value in resource["metadata"].get("annotations", {}).items()
        if name.startswith("checkov.io/skip")
    }
    assert {finding.partition("=")[0] for finding in skipped} == {"CKV_K8S_35"}
    assert all(finding.partition("=")[2] for finding in skipped)


def test_nothing_reaches_or_leaves_a_pod_but_by_a_rule(
    resources: list[Resource], deployments: dict[str, Resource]
) -> None:
    policies = {
        resource["metadata"]["name"]: resource["spec"]
        for resource in resources
        if resource["kind"] == "NetworkPolicy"
    }
    closed = policies["nothing-else"]
    assert set(closed) == {"podSelector", "policyTypes"}
    assert closed["policyTypes"] == ["Ingress", "Egress"]
    for deployment in deployments.values():
        labels = deployment["template"]["metadata"]["labels"]
        assert closed["podSelector"]["matchLabels"].items() <= labels.items()
    # The API alone is reached, from one namespace and at one port.
    [reached] = [policy for policy in policies.values() if "ingress" in policy]
    assert (
        reached["podSelector"]["matchLabels"]
        == deployments["api"]["template"]["metadata"]["labels"]
    )
    [rule] = reached["ingress"]
    assert [list(peer) for peer in rule["from"]] == [["namespaceSelector"]]
    assert rule["ports"] == [{"port": container(deployments["api"])["ports"][0]["name"]}]


ENGINES = {"temporal": {7233}, "redis": {6379}, "rabbitmq": {6379, 5671, 5672}, "none": set()}


def test_names_the_engine_and_mail_can_be_asked_from_every_pod(
    answers: Answers, resources: list[Resource]
) -> None:
    [out] = [resource["spec"] for resource in resources if "egress" in resource.get("spec", {})]
    names, *others = out["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert {port["protocol"] for port in names["ports"]} == {"UDP", "TCP"}
    ports = {port["port"] for rule in others for port in rule["ports"]}
    engine = str(answers.get("celery_broker", answers["task_runner"]))
    database = {5432} if answers.get("database") == "postgresql" else set()
    assert ports == ENGINES[engine] | database | {443, 465, 587}


def test_a_drained_node_loses_one_pod_of_a_kind_at_a_time(
    resources: list[Resource], deployments: dict[str, Resource]
) -> None:
    budgets = {
        resource["metadata"]["name"]: resource["spec"]
        for resource in resources
        if resource["kind"] == "PodDisruptionBudget"
    }
    single = {name for name, deployment in deployments.items() if deployment.get("strategy")}
    assert set(budgets) == set(deployments) - single
    for name, budget in budgets.items():
        labels = deployments[name]["template"]["metadata"]["labels"]
        assert budget["selector"]["matchLabels"] == labels
        assert budget["maxUnavailable"] == 1


def test_the_ingress_leads_to_the_api_by_https(project: Path, resources: list[Resource]) -> None:
    ingress = yaml.safe_load((project / MANIFESTS / "ingress.yaml").read_text())["spec"]
    [rule] = ingress["rules"]
    assert ingress["tls"][0]["hosts"] == [rule["host"]]
    service = rule["http"]["paths"][0]["backend"]["service"]
    [own] = [resource for resource in resources if resource["kind"] == "Service"]
    assert service["name"] == own["metadata"]["name"]
    assert service["port"]["name"] in {port["name"] for port in own["spec"]["ports"]}
    [policy] = [resource for resource in resources if "ingress" in resource.get("spec", {})]
    [peer] = policy["spec"]["ingress"][0]["from"]
    namespace = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert namespace == ingress["ingressClassName"]


def test_each_process_runs_as_in_compose(
    project: Path, answers: Answers, deployments: dict[str, Resource]
) -> None:
    services = compose(project)
    own = {name for name, service in services.items() if "build" in service} - {"flower", "migrate"}
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
        assert container(deployment)["readinessProbe"], name


def test_every_pod_is_confined(deployments: dict[str, Resource]) -> None:
    for deployment in deployments.values():
        spec = pod(deployment)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["automountServiceAccountToken"] is False
        security = container(deployment)["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert set(container(deployment)["resources"]["limits"]) == {"cpu", "memory"}


@pytest.mark.parametrize(
    ("database", "volumes"), [("sqlite", {"data", "tmp"}), ("postgresql", {"tmp"})]
)
def test_beat_has_the_volume_of_the_database_if_that_is_a_file(
    database: str, volumes: set[str], render: Render
) -> None:
    project = render({"task_runner": "celery", "database": database, "kubernetes": True})
    [beat] = yaml.safe_load_all((project / MANIFESTS / "beat.yaml").read_text())
    kubernetes_validate.validate(beat, VERSION, strict=True)
    spec = pod(beat["spec"])
    assert {volume["name"] for volume in spec["volumes"]} == volumes
    for process in (*spec["initContainers"], *spec["containers"]):
        assert {mount["name"] for mount in process["volumeMounts"]} == volumes


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
    assert not (project / MANIFESTS).exists()
