"""A job that is enqueued in a transaction exists if, and only if, the transaction commits."""

import os
from pathlib import Path

import pytest

from tests.kit.answers import Answers
from tests.kit.brokers import RabbitMQ
from tests.kit.outbox_storm import storm

pytestmark = pytest.mark.slow

ORDERS = int(os.environ.get("LICH_ORDERS", "10"))
"""How many transactions there are with each engine; with 500, before a release, RabbitMQ is tried too."""

STACKS: list[Answers] = [
    {"task_runner": "celery", "celery_broker": "redis", "database": "sqlite"},
    {"task_runner": "temporal", "database": "postgresql"},
]
if "LICH_ORDERS" in os.environ:
    STACKS.append({"task_runner": "celery", "celery_broker": "rabbitmq", "database": "postgresql"})


@pytest.mark.parametrize("answers", STACKS, ids=lambda answers: "-".join(answers.values()))
def test_no_kill_leaves_a_row_without_its_job_or_a_job_without_its_row(
    answers: Answers, tmp_path: Path
) -> None:
    if "rabbitmq" in answers.values() and (missing := RabbitMQ.missing()):
        pytest.skip(missing)

    result = storm(answers, tmp_path, orders=ORDERS, kills=max(2, ORDERS // 10))

    print(result)
    assert result.orders > ORDERS // 4
    assert result.jobs_without_order == []
    assert result.orders_without_job == []
    assert result.twice == []
    assert result.waiting == []
