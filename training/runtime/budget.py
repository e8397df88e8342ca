"""The time budget of a fit."""

import math
import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Budget:
    """A time budget that starts when it is created.

    With a budget, the plan of a fit depends on the speed of the machine and differs from run to run. To reproduce a
    fit, set the plan, which evaluation.json records, in model.yaml instead.

    Attributes:
        seconds: The budget in seconds of wall-clock time; None for no limit.
    """

    seconds: float | None = None
    _start: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """The remaining seconds: infinite without a limit, 0 at the end of the budget."""
        return math.inf if self.seconds is None else max(0.0, self.seconds - self.spent)

    @property
    def spent(self) -> float:
        """The seconds since the start."""
        return time.monotonic() - self._start

    def part(self, share: float) -> "Budget":
        """Return a budget that starts now and has a share of the remaining seconds."""
        return Budget(None if self.seconds is None else self.left * share)
