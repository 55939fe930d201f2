"""How long to wait before something is tried again."""

import random
from datetime import timedelta


def backoff(
    attempt: int, first: timedelta, longest: timedelta, generator: random.Random | None = None
) -> timedelta:
    """Return the pause before the next attempt: exponential backoff with jitter.

    `attempt` is the number of the one that failed, from 1. Before jitter, the pause after the first
    is `first`, and none is longer than `longest`.
    """
    # 2 to the power of 25 seconds is a year: no pause is longer, however many attempts there are.
    return with_jitter(min(first * 2 ** min(attempt - 1, 25), longest), generator)


def with_jitter(mean: timedelta, generator: random.Random | None = None) -> timedelta:
    """Return `mean`, changed at random by up to half, so that not all retry at the same moment."""
    # Jitter needs no generator that is safe for secrets.
    return mean * (generator or random.Random()).uniform(0.5, 1.5)  # noqa: S311
