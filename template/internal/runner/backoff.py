"""How long to wait before something is tried again."""

import random
from datetime import timedelta


def backoff(
    attempt: int, first: timedelta, longest: timedelta, generator: random.Random | None = None
) -> timedelta:
    """Return the pause after the failed attempt number `attempt`: doubled each time, with jitter."""
    # 2 to the power of 25 seconds is a year: no pause is longer, however many attempts there are.
    return with_jitter(min(first * 2 ** min(attempt - 1, 25), longest), generator)


def with_jitter(mean: timedelta, generator: random.Random | None = None) -> timedelta:
    """Return a pause that keeps what failed together from coming back together."""
    return mean * (generator or random.Random()).uniform(0.5, 1.5)  # noqa: S311 - no secret
