"""Workers that share nothing but servers, PostgreSQL and S3 among them, lose and repeat nothing."""

import os
from pathlib import Path

import pytest

from tests.kit.answers import EVERY_RUNNER, Answers, name_of
from tests.kit.brokers import RabbitMQ
from tests.kit.storm import storm

pytestmark = pytest.mark.slow

JOBS = int(os.environ.get("LICH_JOBS", "40"))
"""How many jobs there are on each engine; before a release 10000."""

KINDS = [
    *("effect", "email", "onboard", "resize", "import", "cleanup"),
    *("effect", "email", "effect", "email", "effect", "email", "effect", "email"),
]

STACKS = [
    {**answers, "database": "postgresql"}
    for answers in EVERY_RUNNER
    # Redis has a storm of its own in `test_outbox.py`.
    if "none" not in answers.values()
    and ("LICH_JOBS" in os.environ or "redis" not in answers.values())
]


@pytest.mark.parametrize("answers", STACKS, ids=name_of)
def test_three_machines_do_each_job_once_whatever_is_killed(
    answers: Answers, tmp_path: Path
) -> None:
    if "rabbitmq" in answers.values() and (missing := RabbitMQ.missing()):
        pytest.skip(missing)

    result = storm(
        answers, tmp_path, jobs=JOBS, kills=max(2, JOBS // 200), restarts=max(2, JOBS // 400),
        kinds=KINDS, workers=3, separate=True,
    )  # fmt: skip

    print(result)
    assert (result.lost, result.twice) == (0, 0)
    assert result.states == {"succeeded": JOBS}
