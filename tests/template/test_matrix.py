"""Whatever the answers, the project is whole and clean."""

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.kit.answers import EVERY_TWO_TO_TYPE_CHECK, Answers, name_of
from tests.kit.processes import run
from tests.kit.projects import Render
from tests.kit.trees import git

COMMON = {
    ".copier-answers.yml",
    ".dockerignore",
    ".env.example",
    ".github/dependabot.yml",
    ".github/workflows/ci.yml",
    ".gitignore",
    ".pre-commit-config.yaml",
    "Dockerfile",
    "Procfile",
    "README.md",
    "alembic.ini",
    "api/__init__.py",
    "api/access.py",
    "api/errors.py",
    "api/guard.py",
    "api/headers.py",
    "api/health.py",
    "api/hosts.py",
    "api/jobs.py",
    "api/keys.py",
    "api/main.py",
    "api/oidc.py",
    "api/protocol.py",
    "api/rate_limit.py",
    "api/uploads.py",
    "compose.yaml",
    "deploy/Caddyfile",
    "deploy/backup.sh",
    "deploy/restore.sh",
    "docs/database.md",
    "docs/jobs.md",
    "docs/security.md",
    "docs/production.md",
    "docs/workers.md",
    "internal/__init__.py",
    "internal/access.py",
    "internal/config.py",
    "internal/database/__init__.py",
    "internal/database/engine.py",
    "internal/database/errors.py",
    "internal/database/sessions.py",
    "internal/errors.py",
    "internal/jobs/__init__.py",
    "internal/jobs/clean_up.py",
    "internal/jobs/import_contacts.py",
    "internal/jobs/send_email.py",
    "internal/logs.py",
    "internal/models/__init__.py",
    "internal/models/contacts.py",
    "internal/models/deliveries.py",
    "internal/models/outbox.py",
    "internal/runner/__init__.py",
    "internal/runner/attempts.py",
    "internal/runner/backoff.py",
    "internal/runner/calls.py",
    "internal/runner/client.py",
    "internal/runner/context.py",
    "internal/runner/definitions.py",
    "internal/runner/determinism.py",
    "internal/runner/errors.py",
    "internal/runner/outbox.py",
    "internal/runner/registry.py",
    "internal/runner/signatures.py",
    "internal/runner/states.py",
    "internal/runner/steps.py",
    "internal/runner/watchdog.py",
    "internal/services/__init__.py",
    "internal/services/contacts.py",
    "internal/services/email.py",
    "internal/services/retention.py",
    "internal/storage.py",
    "migrations/app/0001_start.py",
    "migrations/env.py",
    "migrations/script.py.mako",
    "migrations/template/0001_records.py",
    "migrations/template/0002_outbox.py",
    "pyproject.toml",
    "tests/__init__.py",
    "tests/api.py",
    "tests/conftest.py",
    "tests/data/imports/contacts.csv",
    "tests/database.py",
    "tests/jobs/__init__.py",
    "tests/jobs/promises.py",
    "tests/runner.py",
    "tests/test_access.py",
    "tests/test_every_job.py",
    "tests/test_import_contacts.py",
    "tests/test_migrations.py",
    "tests/test_outages.py",
    "tests/test_outbox.py",
    "tests/test_promises.py",
    "tests/test_send_email.py",
    "tests/test_services.py",
    "tests/test_settings.py",
}
OF_THE_RUNNER = {
    "temporal": {
        "dev/__init__.py",
        "dev/engine.py",
        "internal/runner/activity.py",
        "internal/runner/connection.py",
        "internal/runner/health.py",
        "internal/runner/history.py",
        "internal/runner/interceptor.py",
        "internal/runner/jobs_loop.py",
        "internal/runner/messages.py",
        "internal/runner/native.py",
        "internal/runner/payloads.py",
        "internal/runner/probe.py",
        "internal/runner/queue_check.py",
        "internal/runner/queues.py",
        "internal/runner/schedules.py",
        "internal/runner/supervisor.py",
        "internal/runner/worker.py",
        "internal/runner/workflow.py",
        "internal/workers/__init__.py",
        "internal/workers/activities.py",
        "internal/workers/main.py",
        "internal/workers/workflows.py",
        "tests/histories/EmailNotificationWorkflow.json",
        "tests/histories/cleanup.json",
        "tests/histories/email.json",
        "tests/histories/import.json",
        "tests/record_histories.py",
        "tests/test_native.py",
        "tests/test_queue_check.py",
        "tests/test_replay.py",
        "tests/test_worker.py",
        "tests/test_workflows.py",
        "tests/worker.py",
    },
    "celery": {
        "dev/__init__.py",
        "dev/engine.py",
        "internal/celery_app.py",
        "internal/celery_tasks.py",
        "internal/runner/batches.py",
        "internal/runner/celery_check.py",
        "internal/runner/consumer.py",
        "internal/runner/dead_letters.py",
        "internal/runner/durable.py",
        "internal/runner/execution.py",
        "internal/runner/job_tasks.py",
        "internal/runner/leases.py",
        "internal/runner/liveness.py",
        "internal/runner/messages.py",
        "internal/runner/pool.py",
        "internal/runner/queue_check.py",
        "internal/runner/queues.py",
        "internal/runner/records.lua",
        "internal/runner/records.py",
        "internal/runner/recovery.py",
        "internal/runner/scheduler.py",
        "internal/runner/task.py",
        "internal/runner/transport.py",
        "tests/jobs/scheduled.py",
        "tests/jobs/workers.py",
        "tests/replay.py",
        "tests/test_celery.py",
        "tests/test_engine.py",
        "tests/test_queue_check.py",
        "tests/worker.py",
    },
    "none": {
        "internal/runner/durable.py",
        "internal/runner/pool.py",
        "tests/replay.py",
        "tests/test_in_process.py",
    },
}
OF_THE_DATABASE = {
    "sqlite": {"internal/database/driver.py", "tests/test_driver.py", "tests/test_locks.py"},
    "postgresql": {
        "dev/__init__.py",
        "dev/database.py",
        "internal/from_sqlite.py",
        "tests/test_failover.py",
    },
}

OF_KUBERNETES = {
    "none": {
        "deploy/kubernetes/api.yaml",
        "deploy/kubernetes/ingress.yaml",
        "deploy/kubernetes/kustomization.yaml",
        "deploy/kubernetes/network.yaml",
        "deploy/kubernetes/settings.yaml",
        "docs/kubernetes.md",
    },
}
OF_KUBERNETES["temporal"] = OF_KUBERNETES["none"] | {
    "deploy/kubernetes/autoscaling.yaml",
    "deploy/kubernetes/disruptions.yaml",
    "deploy/kubernetes/engine.yaml",
    "deploy/kubernetes/worker.yaml",
}
OF_KUBERNETES["celery"] = OF_KUBERNETES["temporal"] | {"deploy/kubernetes/beat.yaml"}

WORDS = {
    "temporal": r"temporal(?!ly)",
    "celery": r"celery|redis|flower|valkey|kombu",
    # Celery calls what it has for any broker `app.amqp`.
    "rabbitmq": r"rabbit|(?<!app\.)amqp|quorum",
}


WORDS_OF_DATABASES = {
    "sqlite": r"postgres|asyncpg|5432",
    # An option of Temporal's server of development, which keeps its own records in such a file.
    "postgresql": r"sqlite(?!-pragma)|app\.db",
}
"""What a project must not mention, by its database."""

ABOUT_THE_OTHER_DATABASE = {
    "deploy/kubernetes/data.yaml",
    "docs/database.md",
    "docs/kubernetes.md",
    "docs/workers.md",
    "internal/from_sqlite.py",
}
"""What tells the way from one database to the other."""

UNCHECKED = {".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def text_files(project: Path) -> dict[str, str]:
    """Return the text of every file of a project by its path."""
    return {
        path.relative_to(project).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(project.rglob("*"))
        if path.is_file() and not set(path.relative_to(project).parts) & UNCHECKED
    }


def foreign_words(answers: Answers) -> re.Pattern[str]:
    """Return what a project with these answers must not mention."""
    own = {answers["task_runner"], answers.get("celery_broker")}
    return re.compile(
        "|".join(words for runner, words in WORDS.items() if runner not in own), re.IGNORECASE
    )


def test_exactly_the_files_of_the_runner_are_there(project: Path, answers: Answers) -> None:
    runner = answers["task_runner"]
    expected = COMMON | OF_THE_RUNNER[runner] | OF_THE_DATABASE[str(answers["database"])]
    if runner == "celery" or answers["database"] == "postgresql":
        expected |= {"deploy/passwords.sh"}
    if answers["kubernetes"]:
        expected |= OF_KUBERNETES[runner]
        if answers["database"] == "sqlite":
            expected |= {"deploy/kubernetes/data.yaml"}
    if answers.get("celery_broker") == "rabbitmq":
        expected |= {"internal/runner/confirms.py"}
    if answers.get("update_workflow"):
        expected |= {".github/workflows/update.yml"}
    assert set(text_files(project)) == expected


def test_no_folder_is_empty(project: Path) -> None:
    folders = [path for path in project.rglob("*") if path.is_dir()]
    assert [folder for folder in folders if not any(folder.iterdir())] == []


def test_no_template_syntax_is_left(project: Path) -> None:
    left = {
        path: found.group()
        for path, text in text_files(project).items()
        if (found := re.search(r"(?<!\$)\{\{[^{}\n]*\}\}|\{%|\{#|\{%|_copier_", text))
    }
    assert left == {}


def test_every_text_file_is_tidy(project: Path) -> None:
    for path, text in text_files(project).items():
        if text:
            assert text.endswith("\n"), path
            assert not text.endswith("\n\n"), path
            assert not text.startswith("\n"), path
        assert "\r" not in text, path
        assert not re.search(r"[ \t]+$", text, re.MULTILINE), path
        assert "\n\n\n\n" not in text, path


def test_every_data_file_parses(project: Path) -> None:
    parsers = {
        ".toml": tomllib.loads,
        ".yml": lambda text: list(yaml.safe_load_all(text)),
        ".yaml": lambda text: list(yaml.safe_load_all(text)),
        ".json": json.loads,
    }
    parsed = [
        parsers[Path(path).suffix](text)
        for path, text in text_files(project).items()
        if Path(path).suffix in parsers
    ]
    assert len(parsed) >= 4
    assert all(parsed)


def test_nothing_of_another_runner_is_there(project: Path, answers: Answers) -> None:
    foreign = foreign_words(answers)
    traces = {
        path: sorted({found.group() for found in foreign.finditer(f"{path}\n{text}")})
        for path, text in text_files(project).items()
        if foreign.search(f"{path}\n{text}")
    }
    assert traces == {}


def test_nothing_of_the_other_database_is_there(project: Path, answers: Answers) -> None:
    foreign = re.compile(WORDS_OF_DATABASES[str(answers["database"])], re.IGNORECASE)
    texts = text_files(project)
    traces = {
        path: sorted(set(foreign.findall(f"{path}\n{text}")))
        for path, text in texts.items()
        if path not in ABOUT_THE_OTHER_DATABASE and foreign.search(f"{path}\n{text}")
    }
    assert traces == {}


def test_the_answers_are_recorded_and_computed_values_are_not(
    project: Path, answers: Answers
) -> None:
    recorded = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    questions = {"project_name", "project_slug", "description", "update_workflow", *answers}
    assert set(recorded) == questions | {"_commit", "_src_path"}
    assert answers.items() <= recorded.items()


def test_nothing_that_git_ignores_is_shipped(project: Path) -> None:
    git(project, "init", "--quiet")
    ignored = git(project, "ls-files", "--others", "--ignored", "--exclude-standard")
    generated = [path for path in ignored.split() if not re.search(r"cache|\.venv", path)]
    assert generated == []


def test_ruff_finds_nothing(project: Path) -> None:
    for command in (["check"], ["format", "--check"]):
        run(sys.executable, "-m", "ruff", *command, cwd=project)


@pytest.mark.slow
@pytest.mark.parametrize("answers", EVERY_TWO_TO_TYPE_CHECK, ids=name_of)
def test_mypy_finds_nothing(answers: Answers, render: Render) -> None:
    run(sys.executable, "-m", "mypy", cwd=render(answers))
