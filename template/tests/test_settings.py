"""The settings, and the example of them."""

import json
import logging
import re
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import AnyUrl, ValidationError

from internal.config import Settings, get_settings
from internal.logs import JsonFormatter
from tests.conftest import ROOT

EXAMPLE = ROOT / ".env.example"


def test_the_example_names_every_setting_and_nothing_else() -> None:
    names = set(re.findall(r"^# ([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE))
    of_compose = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "compose.yaml").read_text()))
    # The command itself reads this one.
    of_compose.add("COMPOSE_PROFILES")
    of_uvicorn = {"FORWARDED_ALLOW_IPS"}
    assert names == {name.upper() for name in Settings.model_fields} | of_compose | of_uvicorn


def test_the_example_is_valid_as_it_is() -> None:
    values = {name.lower(): value for name, value in dotenv_values(EXAMPLE).items() if value}
    assert Settings.model_validate(values) == Settings()


def test_the_environment_comes_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("RETENTION_DAYS=7\nLOG_LEVEL=DEBUG\nMAIL_FROM=\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOG_LEVEL", "WARNING")

    settings = Settings()
    assert (settings.retention_days, settings.log_level) == (7, "WARNING")
    assert settings.mail_from == "noreply@example.com"


def test_a_wrong_mail_server_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_URL", "http://mail.example.com")
    with pytest.raises(ValidationError, match="smtp"):
        Settings()


def test_production_needs_to_know_where_email_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    read_settings = get_settings.__wrapped__
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.delenv("SMTP_URL", raising=False)
    with pytest.raises(SystemExit, match="SMTP_URL is not set, so e-mail would not be sent"):
        read_settings()
    monkeypatch.setenv("SMTP_URL", "outbox:")
    assert read_settings().mail_server is None


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Settings(smtp_url=AnyUrl("smtp://user:secret@mail.example.com")))


def test_a_json_log_line_carries_its_fields() -> None:
    record = logging.makeLogRecord(
        {"msg": "job %s done", "args": ("email-1",), "job_id": "email-1"}
    )
    line = json.loads(JsonFormatter().format(record))
    assert (line["message"], line["job_id"]) == ("job email-1 done", "email-1")
