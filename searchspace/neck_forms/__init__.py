"""How a neck is drawn: what the papers vary of its steps, each a field that may be searched.

A neck is a list of steps, which has no fields of its own. A form is what such a list has in common
with others of its kind: `steps_of` writes it out for a backbone and an input, `form_of` reads it
back. Configurations hold the steps, so that what none of the forms can say is a neck as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from searchspace.backbones import Backbone
from searchspace.geometry import Size, both_axes
from searchspace.neck_forms.form import NeckForm
from searchspace.neck_forms.fused import FusedNeck
from searchspace.neck_forms.pyramids import AggregateNeck, PyramidNeck
from searchspace.neck_forms.ssd import SSDNeck
from searchspace.necks import Step
from searchspace.registry import Registry


class ListedNeck(NeckForm):
    """A neck as its steps, to be chosen as a whole."""

    kind: Literal["listed"] = "listed"
    steps: tuple[Step, ...] = ()

    def write(self, backbone: Backbone, size: Size) -> tuple[Step, ...]:
        return self.steps

    @classmethod
    def read(cls, steps: tuple[Step, ...]) -> ListedNeck:
        return cls(steps=steps)


NECK_FORMS = Registry[NeckForm](
    "neck form", SSDNeck, FusedNeck, PyramidNeck, AggregateNeck, last=ListedNeck
)
"""Of two that could read the steps of a neck, the first does; a listed neck reads any steps."""


def steps_of(form: Any, owner: Mapping[str, Any]) -> tuple[Step, ...]:
    """The steps of a form in a detector, of which input size and backbone are known."""
    return form.write(owner["backbone"], both_axes(owner["input_size"]))


def form_of(cls: Any, steps: tuple[Step, ...], owner: Mapping[str, Any]) -> Any:
    """The form of a class that steps may have been written from; None for certainly none."""
    return cls.read(steps)
