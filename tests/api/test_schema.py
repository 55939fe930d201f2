"""The API does what its OpenAPI document says, whatever it is sent."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.conftest import TOKEN, Serve
from tests.kit.answers import EVERY_RUNNER, Answers, name_of
from tests.kit.repository import tool

pytestmark = pytest.mark.slow

CONFIGURATION = """
[checks.positive_data_acceptance]
# A schema cannot say that a key comes with its first body, or which domains take no e-mail.
expected-statuses = ["2xx", "401", "403", "404", "409", "422"]

[checks.negative_data_rejection]
# A list that is too long is too large as well.
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "422"]
"""

WRITE_DOCUMENT = "import json, sys; from api.main import app; json.dump(app.openapi(), sys.stdout)"


@pytest.mark.parametrize("answers", EVERY_RUNNER, ids=name_of)
def test_schemathesis_finds_nothing(answers: Answers, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    document = tmp_path / "openapi.json"
    with serve(answers) as api:
        document.write_bytes(
            subprocess.check_output(
                [sys.executable, "-c", WRITE_DOCUMENT], cwd=api.project, env=api.environment
            )
        )
        done = subprocess.run(
            [
                tool("schemathesis"), "run", document, "--url", api.url, "--no-color",
                "--header", f"Authorization: Bearer {TOKEN}", "--checks", "all",
                "--max-examples", "10", "--generation-deterministic",
                # The largest batch takes its time on a busy machine.
                "--request-timeout", "60", "--max-response-time", "60",
            ],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
    # A body of a megabyte is part of what it prints.
    lines = [line[:500] for line in done.stdout.splitlines()]
    assert done.returncode == 0, "\n".join(lines[-100:])
    assert "Selected: 12/12" in done.stdout
