"""The reason why a handed-over file cannot be read."""

from model_deployer.contract.errors import UsageError


class UnreadableSource(UsageError):
    """A file is broken, hostile, or of a format that is not read; the message says what to hand over instead."""
