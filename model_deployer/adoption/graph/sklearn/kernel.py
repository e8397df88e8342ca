"""Kernels: how similar each row is to each of the stored rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.unsupported import UnsupportedModel

Floats = NDArray[np.float64]


def squared_distances(rows: Expression, stored: Floats) -> Expression:
    """Return the squared Euclidean distance of each row to each stored row, double [rows, stored rows].

    Both are moved to the centre of the stored rows first, so that large values lose no digits.
    """
    centre: Floats = np.mean(stored, axis=0)
    moved: Expression = rows - centre
    points = stored - centre
    products = (moved @ points.T) * -2.0
    squares: Expression = (moved * moved).sum() + products + np.square(points).sum(axis=1)
    return squares.clip(0.0, None)


@dataclass(frozen=True)
class Kernel:
    """A kernel of a support vector machine.

    Attributes:
        name: As the library has it: ``linear``, ``rbf``, ``poly``, ``sigmoid``.
        gamma: The factor of the distances or products.
        coef0: The summand of the products.
        degree: The power of the products.
    """

    name: object
    gamma: float
    coef0: float
    degree: float

    def write(self, rows: Expression, stored: Floats) -> Expression:
        """Return how similar each row is to each stored row, double [rows, stored rows].

        Raises:
            UnsupportedModel: if the kernel is a function of the user, or precomputed.
        """
        if self.name == "linear":
            return rows @ stored.T
        if self.name == "rbf":
            return (squared_distances(rows, stored) * -self.gamma).exp()
        if self.name not in ("poly", "sigmoid"):
            raise UnsupportedModel("a kernel that is precomputed or a function has no graph writer")
        products = (rows @ stored.T) * self.gamma + self.coef0
        return products.apply("Tanh") if self.name == "sigmoid" else products**self.degree
