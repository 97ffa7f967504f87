"""The contract of a neck's searchable form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from searchspace.backbones import Backbone
from searchspace.config import Config
from searchspace.geometry import Size
from searchspace.necks import Step


class NeckForm(Config, ABC):
    """The searchable parameters of necks of one kind, as fields.

    A detector's configuration holds the steps of its neck. To draw one, the fields of a form are
    drawn and written as steps; to find the parameters of an existing neck, such as a paper's, its
    steps are read back. A form is registered with `@NECK_FORMS.register` of
    `searchspace.neck_forms`, and a space names it as `detector.neck.kind`, and its fields as
    `detector.neck.KIND.FIELD`. Fields are searched if they have a domain
    (`searchspace.domains`: `Annotated[int, Choice(128, 256)]`) or if the space's file gives one.

    Attributes:
        kind: the name of the form in spaces; a `Literal` with itself as default.
    """

    kind: str

    @abstractmethod
    def write(self, backbone: Backbone, size: Size) -> tuple[Step, ...]:
        """The steps of the neck after a backbone, for an input of `size` (height, width) in pixels.

        It must not raise for an unsuitable backbone: a neck that cannot be built is rejected, and
        its draw with it, when the detector's configuration is made.
        """

    @classmethod
    @abstractmethod
    def read(cls, steps: tuple[Step, ...]) -> Self | None:
        """The only form that the steps may have been written from; None if there is none.

        It may guess: the form is only used if `write` returns the same steps.
        """
