"""The error of a value that breaks the contract."""

from model_deployer.contract.errors import ProblemCode


class InvalidValue(Exception):
    """A value breaks the contract.

    Args:
        code: The code of the problem.
        message: The message of the problem; None for what the field expects.
    """

    def __init__(self, code: ProblemCode, message: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
