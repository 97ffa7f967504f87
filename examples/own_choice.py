"""A choice of your own in the space: priors whose sizes are given in pixels of the input.

    sparrow search --data FOLDER --plugin examples/own_choice.py --space examples/own_choice.toml

The space draws `smallest` from the options of its field; docs/extending.md has all that can be
added.
"""

from typing import Annotated, Literal

from pydantic import Field

from searchspace.domains import Choice
from searchspace.priors import PRIOR_RULES, LevelPriors, PriorRule, even_step


@PRIOR_RULES.register
class PixelPriors(PriorRule):
    """Priors that double from level to level.

    Attributes:
        smallest: the side of the finest level's priors in pixels of the input.
    """

    kind: Literal["pixels"] = "pixels"
    smallest: Annotated[float, Choice(8.0, 12.0, 16.0), Field(gt=0)] = 8.0

    def for_levels(self, levels, size):
        sides = [self.smallest * 2**number for number in range(len(levels) + 1)]
        return tuple(
            LevelPriors(step=even_step(level, size), min_size=low, max_size=high, ratios=(2,))
            for level, low, high in zip(levels, sides, sides[1:], strict=False)
        )

    def in_words(self):
        return f"priors from {self.smallest:g} pixels"
