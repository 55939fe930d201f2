"""The error by which business code says that another try is pointless."""


class PermanentError(Exception):
    """The same input gives the same error: a job that raises it fails without a retry."""
