"""Reading of files written by people: every error is a sentence that names the file."""

from __future__ import annotations

import json
import reprlib
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from searchspace.errors import InputError
from searchspace.names import LOAD_PLUGIN, closest, unknown

M = TypeVar("M", bound=BaseModel)

MAX_PROBLEMS = 10

HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories of Unicode with invisible characters."""

JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100
_SHORT.maxlevel = 3


class Unreadable(InputError):
    """A file that cannot be read or has invalid content.

    Attributes:
        file, place: `place` is a line, a byte or a field, and may be empty.
        what, fix: what is wrong, and how to fix it; `fix` is empty where `what` says it.
    """

    def __init__(self, file: Path | str, place: str, what: str, fix: str) -> None:
        self.file, self.place, self.what, self.fix = str(file), place, what, fix
        advice = f"{what}; {fix}" if fix else what
        super().__init__(": ".join(filter(None, (self.file, place, advice))))


def shown(value: object) -> str:
    """A value as one short line of an error message, whatever it is."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        return "a number of thousands of digits"


def visible(text: str, keep: str = "") -> str:
    """A text with escaped control characters, so that it can neither move the cursor nor reorder
    the text around it.

    Escaped are the invisible categories of Unicode: control characters (Cc), format characters such
    as those that change the writing direction (Cf), lone surrogates (Cs), and line and paragraph
    separators (Zl, Zp), except for the two joiners, which some languages need.

    Args:
        keep: control characters to keep, such as the line ends of a text of several lines.
    """
    if text.isprintable():
        return text
    return "".join(c if c in keep or _is_shown(c) else _spelt(c) for c in text)


def _is_shown(character: str) -> bool:
    return character in JOINERS or unicodedata.category(character) not in HIDDEN


def _spelt(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def encoding_of(raw: bytes) -> str:
    """The encoding that a text is in by its first bytes: by its byte order mark, or else by the
    zeros around its first character."""
    return json.detect_encoding(raw)


def read_text(path: Path, fix: str | None = None) -> str:
    """A text file in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Args:
        fix: what to do if it cannot be read, instead of the default.

    Raises:
        Unreadable: it cannot be opened, or is in another encoding.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise Unreadable(path, "", what, fix or "give a readable file") from None
    try:
        return raw.decode(encoding_of(raw))
    except UnicodeDecodeError as error:
        what = f"is not {error.encoding} ({error.reason}: {shown(raw[error.start : error.end])})"
        raise Unreadable(
            path, f"byte {error.start}", what, fix or "save the file as UTF-8"
        ) from None


def read_json(path: Path) -> Any:
    """The content of a JSON file; raises `Unreadable`."""
    return parse_json(path, read_text(path))


def parse_json(path: Path, text: str, fix: str | None = None) -> Any:
    """The content of a JSON file with this text; raises `Unreadable`, which names the file.

    Args:
        fix: what to do about an error, instead of the default.
    """
    if not text.strip():
        raise Unreadable(path, "", "is empty", fix or "copy or export the file again")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        what = f"{'the JSON is cut off' if cut else 'is not JSON'} ({error.msg})"
        usual = "copy or export the file again" if cut else "correct the JSON there"
        place = f"line {error.lineno} column {error.colno}"
        raise Unreadable(path, place, what, fix or usual) from None
    except RecursionError:
        what, usual = "is nested too deeply to be read", "write or export the file again"
        raise Unreadable(path, "", what, fix or usual) from None
    except ValueError:  # the only other one from json.loads: Python's limit on digits
        what, usual = "has a number too long to be read", "correct the number"
        raise Unreadable(path, "", what, fix or usual) from None


def parse_toml(path: Path | str, text: str) -> dict[str, Any]:
    """The content of a TOML file with this text; raises `Unreadable`, which names the file."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(path, "", f"is not TOML ({error})", "correct the TOML there") from None
    except RecursionError:
        what = "is nested too deeply to be read"
        raise Unreadable(path, "", what, "write the file again") from None
    except ValueError:  # the only other one from tomllib: Python's limit on digits
        what, fix = "has a number too long to be read", "correct the number"
        raise Unreadable(path, "", what, fix) from None


def read_model(path: Path, model: type[M], fix: str | None = None, fields: Iterable[str] = ()) -> M:
    """Read a model from a JSON file.

    Args:
        fix: what to do about an invalid file, instead of the default.
        fields: see `in_words`.

    Raises:
        Unreadable: the file cannot be read, or is not such a model; the message names the fields.
    """
    return parse_model(path, parse_json(path, read_text(path, fix), fix), model, fix, fields)


def parse_model(
    path: Path, tree: Any, model: type[M], fix: str | None = None, fields: Iterable[str] = ()
) -> M:
    """A model from the content of a JSON file; otherwise like `read_model`, raising
    `Unreadable`."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        what = in_words(error, fields)
        fix = "" if what.endswith(_ADVICE) else fix or "correct the file"
        raise Unreadable(path, "", what, fix) from None


def in_words(error: ValidationError, fields: Iterable[str] = ()) -> str:
    """Every problem of a configuration, with the field and its value.

    Args:
        fields: existing paths; for an unknown one, the most similar of these is suggested.
    """
    found: dict[str, list[str]] = {}
    for problem in _problems(error):
        words = found.setdefault(_place(problem), [])
        said = _said(problem, fields)
        words += [said] if said not in words else []
    lines = list(_lines(found, error))
    more = len(lines) - MAX_PROBLEMS
    return "; ".join(lines[:MAX_PROBLEMS] + ([f"and {more} more"] if more > 0 else []))


def _problems(error: ValidationError) -> list[Any]:
    """The problems of given fields; those of defaults that depend on other fields are left out."""
    problems = error.errors(include_url=False)
    return [p for p in problems if p["type"] != "default_factory_not_called"]


def _lines(found: Mapping[str, list[str]], error: ValidationError) -> Iterator[str]:
    """A line for each field; the members of a union are alternatives."""
    values = {_place(problem): problem for problem in _problems(error)}
    for place, words in found.items():
        text = " or ".join([words[0], *(word.removeprefix("must be ") for word in words[1:])])
        problem = values[place]
        if problem["type"] in _WITHOUT_VALUE or isinstance(problem["input"], Mapping):
            yield ": ".join(filter(None, (place, text)))
        elif place:
            yield f"{place} is {shown(problem['input'])}, but {text}"
        else:
            yield f"{text}, and not {shown(problem['input'])}"


_WITHOUT_VALUE = ("value_error", "missing", "extra_forbidden", "union_tag_invalid")
_ADVICE = (LOAD_PLUGIN, "'?")
"""Ends of problems that say what to do themselves, see `searchspace.names.unknown`."""
_MEMBERS = ("int", "float", "str", "bool", "none")


def _place(problem: Mapping[str, Any]) -> str:
    """The path of a field, without pydantic's names of union members."""
    *above, last = problem["loc"] or ("",)
    names = [part for part in above if isinstance(part, int) or _is_field(part)]
    own = problem["type"] == "extra_forbidden" or isinstance(last, int) or _is_field(last)
    return ".".join(visible(str(part)) for part in (*names, *([last] if own else [])) if part != "")


def _is_field(name: str) -> bool:
    return name.isidentifier() and name not in _MEMBERS


def _said(problem: Mapping[str, Any], fields: Iterable[str]) -> str:
    """The problem in plain words instead of pydantic's."""
    context = problem.get("ctx", {})
    match problem["type"]:
        case "value_error":
            return str(context["error"])
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return f"there is no such field{closest(_place(problem), fields)}"
        case "union_tag_invalid":
            kind, tags = context["discriminator"].strip("'"), context["expected_tags"]
            meant = unknown(context["tag"], tags.strip("'").split("', '"))
            return f"{kind} {context['tag']!r} is not one of {tags}{meant}"
        case "union_tag_not_found":
            return f"must name its {context['discriminator']}"
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            return "must be an integer"
        case "float_parsing" | "float_type":
            return "must be a number"
        case "bool_parsing" | "bool_type":
            return "must be true or false"
        case "string_type":
            return "must be a string"
        case "tuple_type" | "list_type":
            return "must be a list"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be an object with fields"
        case "greater_than":
            return f"must be above {context['gt']}"
        case "greater_than_equal":
            return f"must be {context['ge']} or more"
        case "less_than":
            return f"must be below {context['lt']}"
        case "less_than_equal":
            return f"must be {context['le']} or less"
    return problem["msg"].replace("Input should be", "must be").replace("Input should", "must")
