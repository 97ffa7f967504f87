"""Options of commands from the fields of pydantic models: each option is described once, there."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from launch.cli.bounds import bound_options
from launch.constraints import Constraint, constraints_from
from launch.study.options import Option, marked, options_of
from launch.study.search_settings import SearchSettings
from launch.trial.errors import SettingsError
from searchspace.names import most_like
from searchspace.reading import in_words, shown

KEYWORD = inspect.Parameter.KEYWORD_ONLY


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command for Typer, with an option for each field of the models among its parameters.

    A parameter whose type is a pydantic model stands for the options of the model's fields, and of
    those of the groups in it. The command is called with the model that holds what was given, and
    `model_fields_set` says what that was. A value that a field does not take ends the command with
    status 2 and the name of the option.
    """
    hints = get_type_hints(command, include_extras=True)
    models = {name: hint for name, hint in hints.items() if _is_model(hint)}

    @functools.wraps(command)
    def expanded(**given: Any) -> None:
        built = {name: _built(model, given) for name, model in models.items()}
        command(**given, **built)

    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        own = _parameters(models[name]) if name in models else [parameter.replace(kind=KEYWORD)]
        parameters += own
    vars(expanded)["__signature__"] = inspect.Signature(parameters)
    expanded.__annotations__ = {p.name: p.annotation for p in parameters}
    return expanded


def option_name(name: str, field: FieldInfo) -> str:
    """What a field is called on the command line."""
    return marked(field).name or f"--{name.replace('_', '-')}"


BARE = {
    option_name(name, field): mark.bare
    for _, name, field in options_of(SearchSettings)
    if (mark := marked(field)).bare
}
"""Options that may stand without a value, with the one that is meant then."""


def with_bare_values(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command, with `--option=VALUE` where an option stands without a value."""
    given = list(arguments)
    end = given.index("--") if "--" in given else len(given)
    return [f"{a}={BARE[a]}" if a in BARE else a for a in given[:end]] + given[end:]


OPTIONS = {name: option_name(name, field) for _, name, field in options_of(SearchSettings)}
"""What the options of a search are called on the command line."""


def _is_model(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseModel)


def _built(model: type[BaseModel], given: dict[str, Any]) -> BaseModel:
    """A model of what was given, which is taken out of it."""
    values: dict[str, Any] = {}
    for _, name, field in options_of(model):
        if _bounds(field):
            bounds = {p.name: given.pop(p.name, None) for p in bound_options()}
            value = constraints_from(bounds) or None
        else:
            value = given.pop(name)
        if value is not None:
            values[name] = tuple(value) if isinstance(value, list) else value
    with usage_errors():
        return model.of(**values) if issubclass(model, SearchSettings) else model(**values)


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """What an option does not take ends the command with status 2 and the name of the option."""
    try:
        yield
    except SettingsError as error:
        words = str(error)
        found = re.match(r"(\w+):? (.*)", words, flags=re.DOTALL)
        if found and found[1] in OPTIONS:
            raise typer.BadParameter(found[2], param_hint=OPTIONS[found[1]]) from None
        raise typer.BadParameter(words) from None
    except ValidationError as error:
        raise typer.BadParameter(in_words(error)) from None


def _parameters(model: type[BaseModel]) -> Iterator[inspect.Parameter]:
    for panel, name, field in options_of(model):
        if _bounds(field):
            yield from bound_options()
            continue
        kind, option = _option(name, field, panel)
        yield inspect.Parameter(name, KEYWORD, default=None, annotation=Annotated[kind, option])


def _bounds(field: FieldInfo) -> bool:
    """Whether a field is made of bounds, each of which has an option of its own."""
    return field.annotation == tuple[Constraint, ...]


def _option(name: str, field: FieldInfo, panel: str) -> tuple[Any, typer.models.OptionInfo]:
    """The type of an option's value, and the option; without a default, as fields have one."""
    mark, kinds = marked(field), _members(field.annotation)
    declared = option_name(name, field)
    shared = {"help": _help(field, mark), "rich_help_panel": panel, "show_default": False}
    if kinds == {bool}:
        both = field.default is True and "/" not in declared
        flag = f"{declared}/--no-{declared[2:]}" if both else declared
        return bool | None, typer.Option(flag, **shared)
    kind = str if str in kinds or mark.bare else next(iter(kinds))
    several = get_origin(kind) is tuple
    whole: Any = field.annotation
    item = get_args(kind)[0] if several else Annotated[whole, mark, *field.metadata]
    shared["metavar"] = mark.metavar or _metavar(kind)
    named = item if several else kind
    names = get_args(named) if get_origin(named) is Literal else ()
    parse = _parser(TypeAdapter(item, config=ConfigDict(allow_inf_nan=False)), names)
    if several and mark.comma:
        return str | None, typer.Option(declared, parser=_split(parse), **shared)
    if several:
        return list[str] | None, typer.Option(declared, parser=parse, **shared)
    return (kind if kind in (int, float) else str) | None, typer.Option(
        declared, parser=parse, **shared
    )


def _members(annotation: Any) -> set[Any]:
    """The types of a field's values, None apart; of an annotated one the plain type."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*map(_members, get_args(annotation))) - {NoneType}
    return {annotation}


def _metavar(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    return "NUMBER" if kind in (int, float) else "TEXT"


def _help(field: FieldInfo, mark: Option) -> str:
    """What a field says of itself, with its default if that is a value."""
    several = get_origin(next(iter(_members(field.annotation)))) is tuple
    words = [field.description, "Repeatable." if several and not mark.comma else ""]
    if isinstance(field.default, str | int | float | Path) and field.default not in (True, False):
        words.append(f"Default: {field.default}.")
    return " ".join(filter(None, words))


def _parser(adapter: TypeAdapter[Any], names: tuple[str, ...]) -> Callable[[Any], Any]:
    """What reads an option's text; `names` are its choices, if there are only these."""

    def parse(text: Any) -> Any:
        if names and text not in names:
            near = most_like(text, names)
            raise typer.BadParameter(
                f"{shown(text)}: the nearest one is {near}; there are {', '.join(names)}"
            )
        try:
            return adapter.validate_python(text)
        except ValidationError as error:
            raise typer.BadParameter(in_words(error)) from None

    return parse


def _split(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def parse_all(text: Any) -> tuple[Any, ...]:
        return tuple(parse(part) for part in text.split(",")) if isinstance(text, str) else text

    return parse_all
