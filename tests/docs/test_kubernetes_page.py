"""The page about Kubernetes names files and objects that are in the manifests beside it.

Its commands need a cluster; what they are given does not.
"""

import re
from pathlib import Path

import pytest
import yaml

from tests.kit.answers import EVERY_RUNNER, Answers, name_of
from tests.kit.markdown import blocks
from tests.kit.projects import Render


@pytest.mark.parametrize("answers", EVERY_RUNNER, ids=name_of)
def test_the_kubernetes_page_names_what_is_there(answers: Answers, render: Render) -> None:
    project = render(
        {**answers, "docs_language": "en", "python_version": "3.12", "kubernetes": True}
    )
    known = objects(project / "deploy/kubernetes")
    examples = re.findall(r"^# ([A-Z_]+)=", (project / ".env.example").read_text(), re.MULTILINE)
    page = (project / "docs/kubernetes.md").read_text()
    for block in blocks(page):
        assert block.language == "bash"
        for command in block.text.replace("\\\n", "").splitlines():
            tools = ("kubectl ", "docker build ", "docker push ", "kustomize edit ")
            assert command.startswith(tools) or command == "cd deploy/kubernetes", command
            for path in re.findall(r" -[fk] (\S+)", command):
                assert (project / path).exists(), command
            for kind, name in re.findall(r" (deployment|service|cronjob)/(\S+)", command):
                assert (kind, name) in known, command
            for name in re.findall(r"--from-literal=([A-Z_]+)=", command):
                assert name in [*examples, "TEMPORAL_API_KEY", "REDIS_PASSWORD"], command


def objects(folder: Path) -> set[tuple[str, str]]:
    """Return the kind and the name of every object in the manifests."""
    return {
        (content["kind"].lower(), content["metadata"]["name"])
        for path in folder.glob("*.yaml")
        for content in yaml.safe_load_all(path.read_text())
        if content and "metadata" in content
    }
