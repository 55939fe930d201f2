"""The errors by which code that jobs call says what another try would bring."""


class PermanentError(Exception):
    """The same input gives the same error: a job that raises it fails without a retry."""


class Unavailable(Exception):
    """Something that is needed is away for the moment: an attempt that raises it does not count.

    So a job is tried until it is there again, or until the deadline of its policy.
    """
