"""The reason why a source cannot be asked."""

from model_deployer.contract.errors import UsageError


class CellError(UsageError):
    """A source cannot be loaded, or does not answer; the message says why, and what to do."""
