"""An early-stopping rule of your own: a trial far below the best one at the same epoch is stopped.

sparrow search --data FOLDER --plugin examples/own_rule.py --early-stopping far_below --rungs 2,4
"""

from typing import Literal

from pydantic import Field

from launch.decisions.early_stopping import EarlyStopping
from launch.decisions.rules import RULES


@RULES.register
class FarBelow(EarlyStopping):
    """Stops trials whose first objective is below a share of the best one at the same epoch.

    Attributes:
        share: of the best.
        least: trials that have to be there before any is stopped.
    """

    kind: Literal["far_below"] = "far_below"
    share: float = Field(default=0.5, gt=0, lt=1)
    least: int = Field(default=3, ge=2)

    def survives(self, rung, trial):
        best = max(first for first, *others in rung.values())
        return len(rung) < self.least or rung[trial][0] >= self.share * best
