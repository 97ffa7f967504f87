"""How a field of settings describes an option: its type, bounds, default and help, said once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic.fields import FieldInfo

from searchspace.masking import is_address


@dataclass(frozen=True)
class Option:
    """How a field is given on the command line, where that does not follow from its type.

    Attributes:
        metavar: what stands for the value in help texts.
        name: the option, if it is not called as the field is.
        comma: several values are one text with commas between them; else the option is repeated.
        resumable: whether it may be given when a study is resumed.
        bare: the value that is meant where none is given; another one follows a "=".
    """

    metavar: str | None = None
    name: str | None = None
    comma: bool = False
    resumable: bool = False
    bare: str | None = None


def not_empty(value: Any) -> Any:
    """A validator that refuses a text of no character but blanks."""
    if isinstance(value, str) and not value.strip():
        raise ValueError("it is empty; give a value, or leave it out")
    return value


Text = Annotated[str, AfterValidator(not_empty)]
GivenPath = Annotated[Path, BeforeValidator(not_empty)]
"""A path that is not empty, which Python takes for the working folder."""


def _place(value: Any) -> Path | str:
    if not is_address(value):
        return Path(not_empty(value))
    from detectors.remote import checked  # It loads torch.

    return checked(value)


Place = Annotated[Path | str, BeforeValidator(_place)]
"""A folder, or an address without any key, which is a text."""


class Group(BaseModel):
    """Options that belong together."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def options_of(model: type[BaseModel]) -> Iterator[tuple[str, str, FieldInfo]]:
    """Each option of a model with the title of its group: fields, and those of groups in it.

    A model with an attribute `only` has the options that it names.
    """
    only = getattr(model, "only", None)
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            for own, leaf in field.annotation.model_fields.items():
                if only is None or own in only:
                    yield field.title or name, own, leaf
        else:
            yield model.model_config.get("title") or "Options", name, field


def marked(field: FieldInfo) -> Option:
    """The option of a field."""
    return next((mark for mark in field.metadata if isinstance(mark, Option)), Option())
