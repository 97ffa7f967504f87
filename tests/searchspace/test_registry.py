"""A field of a registry behaves like a union of its members: validated, dumped, drawn, named."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Literal

import pytest
from optuna.trial import FixedTrial
from pydantic import TypeAdapter, ValidationError

from searchspace.config import Config
from searchspace.domains import Choice, Fixed
from searchspace.fields import paths
from searchspace.reading import in_words
from searchspace.registry import Registry
from searchspace.walk import parse_domain, project, suggest, to_params


class Shape(Config):
    kind: str

    @abstractmethod
    def area(self) -> float: ...


class Disc(Shape):
    kind: Literal["disc"] = "disc"
    radius: Annotated[float, Choice(1.0, 2.0)] = 1.0

    def area(self) -> float:
        return 3 * self.radius**2


class Square(Shape):
    kind: Literal["square"] = "square"
    side: Annotated[int, Choice(1, 3)] = 1

    def area(self) -> float:
        return self.side**2


SHAPES = Registry[Shape]("shape", Disc, last=Square)


class Drawing(Config):
    first: Annotated[Shape, SHAPES, Fixed("disc")] = Disc()
    others: tuple[Annotated[Shape, SHAPES], ...] = ()


@SHAPES.register
class Oblong(Shape):
    """Registered after the class that has the field."""

    kind: Literal["oblong"] = "oblong"
    height: Annotated[int, Choice(2, 4)] = 2

    def area(self) -> float:
        return self.height


DRAWING = Drawing(first=Oblong(height=4), others=(Square(side=3), Oblong()))


def test_the_last_member_stays_last() -> None:
    assert list(SHAPES.by_kind) == ["disc", "oblong", "square"]


@pytest.mark.parametrize("form", ["objects", "python", "json"])
def test_a_value_comes_back_as_the_member_that_its_kind_names(form: str) -> None:
    back = {
        "objects": lambda: Drawing(**dict(DRAWING)),
        "python": lambda: Drawing.model_validate(DRAWING.model_dump()),
        "json": lambda: Drawing.model_validate_json(DRAWING.model_dump_json()),
    }[form]()
    assert back == DRAWING
    assert type(back.others[1]) is Oblong


def test_members_are_dumped_with_all_their_fields() -> None:
    assert DRAWING.model_dump(mode="json")["others"] == [
        {"kind": "square", "side": 3},
        {"kind": "oblong", "height": 2},
    ]


def test_a_member_is_drawn_walked_back_and_projected() -> None:
    domains = {"first.kind": Choice("disc", "oblong")}
    config = Drawing(first=Oblong(height=4))
    params = to_params(config, domains)
    assert params == {"first.kind": "oblong", "first.oblong.height": 4}
    assert suggest(FixedTrial(params), Drawing, domains) == config
    assert project(config, {"first.kind": Fixed("disc")}) == Drawing()


def test_a_space_can_name_the_fields_of_a_member() -> None:
    assert "first.oblong.height" in list(paths(Drawing))
    assert parse_domain(Drawing, "first.kind", "oblong") == Fixed("oblong")
    with pytest.raises(ValidationError):
        parse_domain(Drawing, "first.kind", "circle")


def test_the_schema_names_all_members() -> None:
    schema = TypeAdapter(Drawing).json_schema()
    assert {"Disc", "Oblong", "Square"} <= schema["$defs"].keys()
    assert schema["properties"]["first"]["discriminator"]["propertyName"] == "kind"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"kind": "oblongs"},
            "first: kind 'oblongs' is not one of 'disc', 'oblong', 'square'; "
            "did you mean 'oblong'?",
        ),
        ({}, "first: must name its 'kind'"),
        ({"kind": "oblong", "height": "tall"}, "first.oblong.height is 'tall', but must be a"),
        ({"kind": "oblong", "width": 3}, "first.oblong.width: there is no such field"),
    ],
)
def test_what_fits_no_member_is_refused_in_words(value: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Drawing(first=value)
    assert in_words(caught.value).startswith(message)


def test_an_object_of_a_class_that_is_not_registered_is_refused() -> None:
    class Stranger(Disc):
        pass

    with pytest.raises(
        ValidationError, match="Stranger is not a registered shape: registered are di"
    ):
        Drawing(first=Stranger())


def test_a_kind_belongs_to_one_class() -> None:
    class Round(Disc):
        pass

    with pytest.raises(ValueError, match=r"shape 'disc' of .*Round: .*Disc has this kind already"):
        SHAPES.register(Round)
    assert SHAPES.register(Disc) is Disc


def test_a_class_without_a_kind_or_a_method_is_refused() -> None:
    class Nameless(Shape):
        def area(self) -> float:
            return 0

    class Endless(Shape):
        kind: Literal["endless"] = "endless"

    class Unnamed(Shape):
        kind: Literal["unnamed"]

    with pytest.raises(TypeError, match=r"Nameless: it must be a configuration class with a field"):
        SHAPES.register(Nameless)
    with pytest.raises(TypeError, match=r"Endless: implement area"):
        SHAPES.register(Endless)
    with pytest.raises(TypeError, match=r"the default of its field kind must be 'unnamed'"):
        SHAPES.register(Unnamed)
