"""An engine for the tests that need one."""

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
        engines.skip(reason)
    yield running
    context.__exit__(None, None, None)
