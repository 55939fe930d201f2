"""An engine, and generated projects that run on it."""

import os
from collections.abc import Iterator

import pytest

from tests.containers import engine as engines
from tests.containers.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine of this machine or a private one; where none can be had, the tests skip."""
    context = engines.engine()
    try:
        running = context.__enter__()
    except engines.Unavailable as reason:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            pytest.fail(str(reason))
        pytest.skip(str(reason))
    yield running
    context.__exit__(None, None, None)
