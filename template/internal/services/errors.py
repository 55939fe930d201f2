"""The two ways in which work fails: again may help, or it cannot."""


class TemporaryError(Exception):
    """The cause may pass: try again later."""


class PermanentError(Exception):
    """Trying again gives the same answer: a person has to look."""
