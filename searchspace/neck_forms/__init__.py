"""Searchable forms of necks: the properties that the papers vary, each a field.

A neck is a list of steps, which cannot be searched directly. A form has the parameters of such
lists of one kind: `steps_of` writes the steps for a backbone and an input size, `form_of` reads
them back.
Configurations hold the steps, so a neck need not have a form.
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
    """A neck given by its steps, chosen as a whole."""

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
"""If two forms can read the steps of a neck, the first does; a listed neck reads any steps."""


def steps_of(form: Any, owner: Mapping[str, Any]) -> tuple[Step, ...]:
    """The steps of a form in a detector with a known input size and backbone."""
    return form.write(owner["backbone"], both_axes(owner["input_size"]))


def form_of(cls: Any, steps: tuple[Step, ...], owner: Mapping[str, Any]) -> Any:
    """The form of this class from which the steps may have been written, or None."""
    return cls.read(steps)
