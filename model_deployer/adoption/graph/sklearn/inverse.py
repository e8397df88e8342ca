"""Undo a step that changed the target: ``inverse_transform``."""

from collections.abc import Callable
from functools import reduce

from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject

#: Undo a step: the step, and the numbers that it returned, double [rows, columns].
InverseWriter = Callable[[StoredObject, Expression], Expression]

_INVERSES: dict[str, InverseWriter] = {}


def inverse(*kinds: str) -> Callable[[InverseWriter], InverseWriter]:
    """Register what undoes steps of these kinds."""

    def register(writer: InverseWriter) -> InverseWriter:
        _INVERSES.update(dict.fromkeys(kinds, writer))
        return writer

    return register


def write_inverse(stored: object, numbers: Expression) -> Expression:
    """Write ``inverse_transform`` of a step.

    Raises:
        UnsupportedModel: if the step has no writer of its inverse.
    """
    if stored is None or stored == "passthrough":
        return numbers
    if not isinstance(stored, StoredObject) or stored.kind not in _INVERSES:
        name = stored.path if isinstance(stored, StoredObject) else type(stored).__name__
        raise UnsupportedModel(f"the inverse of {name} has no graph writer")
    return _INVERSES[stored.kind](stored, numbers)


@inverse("sklearn.Pipeline")
def write_inverse_pipeline(stored: StoredObject, numbers: Expression) -> Expression:
    """Undo the steps of a pipeline, the last one first."""
    steps = [step for _, step in stored["steps"]]
    return reduce(lambda values, step: write_inverse(step, values), reversed(steps), numbers)
