"""The time that fitting may take."""

import math
import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Budget:
    """Seconds of the clock for all candidates together, counted from when this is made; None is as many as it takes.

    With a budget the plan of a fit depends on how fast the machine is, and is not the same twice; evaluation.json keeps
    it, and model.yaml may say it instead.
    """

    seconds: float | None = None
    _began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds that are left, infinite without a budget; 0 when it is spent."""
        return math.inf if self.seconds is None else max(0.0, self.seconds - self.spent)

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def part(self, share: float) -> "Budget":
        """A budget that begins now, of a share of what is left."""
        return Budget(None if self.seconds is None else self.left * share)
