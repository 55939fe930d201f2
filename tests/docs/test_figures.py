"""Every figure that the guides tell is the one in the code."""

from pathlib import Path

import pytest
import yaml

from tests.kit.answers import EVERY_RUNNER, Answers, name_of
from tests.kit.projects import Render, look_up

# What the guide says in English and in Persian, where the value is, and the value.
FIGURES: dict[str, list[tuple[str, str, str, float]]] = {
    "none": [
        ("waits up to 25 seconds", "تا ۲۵ ثانیه", "internal.runner.pool:DRAIN_TIMEOUT", 25),
        ("20 seconds", "۲۰ ثانیه", "internal.services.email:TIMEOUT", 20),
    ],
    "temporal": [
        ("finish for up to 25", "تا ۲۵ ثانیه", "internal.runner.worker:GRACE", 25),
        ("silent for 15 seconds", "۱۵ ثانیه ساکت", "internal.runner.workflow:HEARTBEAT_TIMEOUT", 15),
        ("down 3 times in a row", "سه بار پشت سر هم", "internal.runner.workflow:MAX_LOST", 3),
        ("20 seconds", "۲۰ ثانیه", "internal.services.email:TIMEOUT", 20),
    ],
    "celery": [
        ("twice a second", "هر ثانیه دو بار", "internal.runner.leases:RENEW_INTERVAL", 0.5),
        ("silent for 10 seconds", "۱۰ ثانیه ساکت", "internal.runner.records:LEASE_TIMEOUT", 10),
        ("20 seconds", "۲۰ ثانیه", "internal.services.email:TIMEOUT", 20),
        ("it has 20 seconds", "۲۰ ثانیه وقت", "internal.celery_app:app.conf.worker_soft_shutdown_timeout", 20),
    ],
}  # fmt: skip

# The grace period of a container, as each guide says it.
GRACE_PERIOD = {
    "none": ("container waits 35", "کانتینر ۳۵ ثانیه"),
    "temporal": ("container waits 35", "کانتینر ۳۵ ثانیه"),
    "celery": ("35 seconds are over", "پایان ۳۵ ثانیه"),
}


@pytest.fixture(params=EVERY_RUNNER, ids=name_of)
def answers(request: pytest.FixtureRequest) -> Answers:
    answers: Answers = request.param
    return answers


@pytest.fixture
def english(answers: Answers, render: Render) -> Path:
    return render({**answers, "docs_language": "en", "python_version": "3.12"})


@pytest.fixture
def persian(answers: Answers, render: Render) -> Path:
    return render({**answers, "docs_language": "fa", "python_version": "3.12"})


def test_the_figures_of_the_guide_are_those_of_the_code(
    answers: Answers, english: Path, persian: Path
) -> None:
    figures = FIGURES[str(answers["task_runner"])]
    values = look_up(english, *(name for _, _, name, _ in figures))
    for in_english, in_persian, name, value in figures:
        assert in_english in words(english)
        assert in_persian in words(persian)
        assert values[name] == value, name


def test_the_grace_period_of_the_guide_is_that_of_the_containers(
    answers: Answers, english: Path, persian: Path
) -> None:
    in_english, in_persian = GRACE_PERIOD[str(answers["task_runner"])]
    assert in_english in words(english)
    assert in_persian in words(persian)
    services = yaml.safe_load((english / "compose.yaml").read_text())["services"].values()
    assert {service["stop_grace_period"] for service in services if "build" in service} == {"35s"}


def words(project: Path) -> str:
    """Return the guide on one line."""
    return " ".join((project / "docs/workers.md").read_text().split())
