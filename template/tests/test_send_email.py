"""The sample job `email`, through the API."""

from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from tests.api import post, wait
from tests.conftest import Mailbox


def email(to: str, **fields: str) -> dict[str, str]:
    return {"to": to, "subject": "Welcome", "body": "Hello!", **fields}


def someone() -> str:
    return f"{uuid4().hex}@example.com"


def test_an_email_is_sent(client: TestClient, mailbox: Mailbox) -> None:
    to = someone()
    answer = client.post("/jobs/email", json=email(to, subject="Willkommen · سلام", body="Grüße"))

    assert answer.status_code == 202
    accepted = answer.json()
    assert answer.headers["Location"] == accepted["url"] == f"/jobs/{accepted['id']}"
    job = wait(client, accepted["id"])
    assert (job["kind"], job["state"], job["result"]) == ("email", "succeeded", True)
    [message] = mailbox.to(to)
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().strip() == "Grüße"
    assert message["Message-ID"] == f"<{accepted['id']}@example.com>"


def test_the_same_key_sends_once(client: TestClient, mailbox: Mailbox) -> None:
    to = someone()
    headers = {"Idempotency-Key": uuid4().hex}
    ids = set()
    for _ in range(3):
        ids.add(client.post("/jobs/email", json=email(to), headers=headers).json()["id"])
    wait(client, *ids)
    ids.add(client.post("/jobs/email", json=email(to), headers=headers).json()["id"])

    assert len(ids) == 1
    assert len(mailbox.to(to)) == 1


def test_a_busy_mail_server_is_retried(client: TestClient, mailbox: Mailbox) -> None:
    to = someone()
    mailbox.answers[to] = ["451 try again later"]
    job_id = post(client, "email", email(to))

    assert wait(client, job_id)["state"] == "succeeded"
    assert len(mailbox.to(to)) == 1


def test_a_rejected_email_fails_at_once_and_can_be_retried(
    client: TestClient, mailbox: Mailbox
) -> None:
    to = someone()
    mailbox.answers[to] = ["550 no such mailbox"]
    job_id = post(client, "email", email(to))

    job = wait(client, job_id)
    assert job["state"] == "failed"
    assert "550 no such mailbox" in job["error"]
    assert not mailbox.answers[to]

    assert client.post(f"/jobs/{job_id}/retry").status_code == 202
    assert wait(client, job_id)["state"] == "succeeded"
    assert len(mailbox.to(to)) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        email("nobody"),
        email("a@example.com", subject=""),
        email("ada@"),
        *(email("a@example.com", subject=f"Hi{char}Bcc: b") for char in "\n\x0b\x85\u2028\u2029"),
    ],
)
def test_a_bad_email_is_refused(client: TestClient, body: dict[str, str]) -> None:
    assert client.post("/jobs/email", json=body).status_code == 422
