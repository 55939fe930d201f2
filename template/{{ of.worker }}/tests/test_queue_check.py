"""What the check before a deployment says of queues."""

from internal.config import Settings
from internal.runner import queue_check


def test_a_worker_may_leave_a_queue_to_others() -> None:
    said = queue_check.left_to_others(Settings(worker_queues=frozenset({"slow"})))
    assert "WORKER_QUEUES leaves the queue 'default' to other workers." in said
    assert queue_check.left_to_others(Settings(worker_queues=None)) == []


def test_a_queue_that_no_worker_takes_is_named_with_its_jobs() -> None:
    said = "\n".join(queue_check.not_taken(["another"]))
    assert "tests/jobs/promises.py: " in said
    assert "is enqueued to the queue 'default', which no worker takes." in said


def test_a_setting_that_names_a_queue_of_no_job_is_found() -> None:
    settings = Settings(worker_queues=frozenset({"another"}), queue_rate={"default": 5})
    assert queue_check.unknown(settings) == [
        "WORKER_QUEUES names the queue 'another', to which no job is enqueued."
    ]
