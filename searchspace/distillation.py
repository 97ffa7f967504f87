"""Distillation: learning from a teacher in addition to the labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from searchspace.config import Config
from searchspace.domains import Choice, FloatRange
from searchspace.words import end_of_path

PARENT = "parent"
"""The name of the teacher that is the trial's own detector before pruning."""

GIVEN = "given"
"""The name in a space of the teacher that a search is given (`sparrow search --teacher FOLDER`). It
becomes its folder, or the space does without."""

Teacher = Annotated[str, Field(min_length=1)]
"""`parent`, or the folder of a saved detector; in a space also `given`."""

Temperature = Annotated[float, FloatRange(1.0, 8.0), Field(gt=0)]


Location = Literal["classes", "maps", "both"]

LOCATIONS: dict[Location, str] = {
    "classes": "class logits",
    "maps": "maps",
    "both": "class logits and maps",
}
"""By location of channel-wise distillation, the compared outputs in words."""


def taught(teacher: str, lesson: str, weight: float, temperature: float) -> str:
    """Teacher and lesson in words; a saved detector is named by the end of its path."""
    names = {PARENT: "its parent", GIVEN: "the given teacher"}
    name = names.get(teacher) or end_of_path(teacher)
    return f"taught by {name} ({lesson}, weight {weight:.2g}, temperature {temperature:.2g})"


class NoDistillation(Config):
    """Learn from the labels only."""

    kind: Literal["none"] = "none"

    def in_words(self) -> str:
        return ""


class ChannelWise(Config):
    """Channel-wise distillation (Shu et al., ICCV 2021): teacher and student of any architecture.

    Each channel of a map, normalised to a distribution over positions, is pulled towards the
    teacher's.

    Attributes:
        teacher: see `Teacher`.
        location: the compared outputs: the class logits, the maps that the head reads, or both.
        temperature: divides the maps; a higher one spreads the weight over more positions.
        weight: factor of the loss of each location.
    """

    kind: Literal["channel_wise"] = "channel_wise"
    teacher: Teacher = PARENT
    location: Annotated[Location, Choice("classes", "maps", "both")] = "classes"
    temperature: Temperature = 1.0
    weight: Annotated[float, FloatRange(1.0, 50.0, log=True), Field(gt=0)] = 5.0

    def in_words(self) -> str:
        return taught(self.teacher, LOCATIONS[self.location], self.weight, self.temperature)


class Logits(Config):
    """Distillation of softened class probabilities (Hinton et al., 2015), prior by prior.

    Teacher and student need softmax heads and the same priors.

    Attributes:
        teacher: see `Teacher`.
        temperature: divides the logits; a higher one gives similar classes more weight.
        weight: factor of the loss.
    """

    kind: Literal["logits"] = "logits"
    teacher: Teacher = PARENT
    temperature: Temperature = 2.0
    weight: Annotated[float, FloatRange(0.1, 10.0, log=True), Field(gt=0)] = 1.0

    def in_words(self) -> str:
        return taught(self.teacher, "class probabilities", self.weight, self.temperature)


Distillation = Annotated[NoDistillation | ChannelWise | Logits, Field(discriminator="kind")]
