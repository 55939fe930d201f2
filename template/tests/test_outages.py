"""The database is away: who notices that, and what they say."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from internal.config import Settings
from internal.database import DatabaseUnavailable, transaction


def test_without_its_database_the_api_says_when_to_come_back(
    client: TestClient, absent_database: None
) -> None:
    for path in ("/readyz", "/jobs/email-unknown"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert answer.json()["detail"].startswith("The database is not available: ")
    assert client.get("/livez").status_code == 200


async def test_without_a_database_there_is_no_transaction(absent_database: None) -> None:
    with pytest.raises(DatabaseUnavailable):
        async with transaction() as session:
            await session.execute(text("SELECT 1"))


async def test_an_error_of_other_causes_is_left_as_it_is(settings: Settings) -> None:
    with pytest.raises(FileNotFoundError):
        async with transaction(settings):
            raise FileNotFoundError("a file of one's own")
    with pytest.raises(Exception, match="syntax error"):
        async with transaction(settings) as session:
            await session.execute(text("SELECT FROM FROM"))


async def test_an_error_does_not_repeat_what_was_to_be_written(settings: Settings) -> None:
    with pytest.raises(SQLAlchemyError) as raised:
        async with transaction(settings) as session:
            await session.execute(
                text("SELECT a_mistake(:address)"), {"address": "ada@example.com"}
            )
    assert "a_mistake" in str(raised.value)
    assert "ada@example.com" not in str(raised.value)
