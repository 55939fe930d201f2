"""Every figure that the guides tell is the one in the code."""

from pathlib import Path

import pytest

from tests.template.conftest import RUNNERS, Answers, Render, name_of

# What the guide says in English and in Persian, the file, and what stands there.
FIGURES: dict[str, list[tuple[str, str, str, str]]] = {
    "none": [
        ("waits up to 25 seconds", "تا ۲۵ ثانیه", "internal/jobs.py", "DRAIN_TIMEOUT = 25.0"),
        ("is tried 5 times", "۵ بار امتحان می‌شود", "internal/jobs.py", "ATTEMPTS = 5"),
        ("may take an hour", "حداکثر یک ساعت", "internal/jobs.py", "JOB_TIMEOUT = 3600.0"),
        ("20 seconds", "۲۰ ثانیه", "internal/services/email.py", "TIMEOUT = 20.0"),
        ("container waits 35", "کانتینر ۳۵ ثانیه", "compose.yaml", "stop_grace_period: 35s"),
    ],
    "temporal": [
        ("finish for up to 25", "تا ۲۵ ثانیه", "internal/workers/worker.py", "GRACE = timedelta(seconds=25)"),
        ("silent for 15", "۱۵ ثانیه ساکت", "internal/workers/workflows.py", "heartbeat_timeout=timedelta(seconds=15)"),
        ("for a day", "تا یک روز", "internal/workers/workflows.py", "schedule_to_close_timeout=timedelta(days=1)"),
        ("up to about a minute", "تا حدود یک دقیقه", "internal/workers/workflows.py", "maximum_interval=timedelta(minutes="),
        ("container waits 35", "کانتینر ۳۵ ثانیه", "compose.yaml", "stop_grace_period: 35s"),
    ],
    "celery": [
        ("twice a second", "هر ثانیه دو بار", "internal/job_lease.py", "RENEW_INTERVAL = 0.5"),
        ("silent for 10 seconds", "۱۰ ثانیه ساکت", "internal/job_records.py", "SILENCE = 10.0"),
        ("5 minutes", "۵ دقیقه", "internal/celery_app.py", "task_time_limit=300"),
        ("the import an hour", "import یک ساعت", "internal/celery_tasks.py", "soft_time_limit=3600"),
        ("20 seconds", "۲۰ ثانیه", "internal/services/email.py", "TIMEOUT = 20.0"),
        ("up to 5 times more", "تا ۵ بار دیگر", "internal/job_task.py", '"max_retries": 5'),
        ("from 1 second", "از ۱ ثانیه", "internal/job_task.py", '"retry_backoff": 1,'),
        ("3 times in a row", "سه بار پشت سر هم", "internal/job_records.lua", "LOST_RUNS = 3"),
        ("it has 20 seconds", "۲۰ ثانیه وقت", "internal/celery_app.py", "worker_soft_shutdown_timeout=20"),
        ("35 seconds are over", "پایان ۳۵ ثانیه", "compose.yaml", "stop_grace_period: 35s"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("answers", RUNNERS, ids=name_of)
def test_the_figures_of_the_guide_are_those_of_the_code(answers: Answers, render: Render) -> None:
    english, persian = (
        render({**answers, "docs_language": language, "python_version": "3.12"})
        for language in ("en", "fa")
    )
    for said, in_persian, file, written in FIGURES[answers["task_runner"]]:
        assert said in words(english), said
        assert in_persian in words(persian), in_persian
        assert written in (english / file).read_text(), (said, file, written)


def words(project: Path) -> str:
    """Return the guide on one line."""
    return " ".join((project / "docs/workers.md").read_text().split())
