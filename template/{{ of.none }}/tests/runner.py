"""What the tests need of the task runner."""

import pytest


@pytest.fixture(scope="session")
def runner() -> None:
    """Jobs run inside the API: there is nothing to start."""
