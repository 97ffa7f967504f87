"""The page of the configuration: a table of fields for each model below `TrialConfig`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from griffe import Docstring, DocstringSectionAttributes, DocstringSectionText

from searchspace import TrialConfig

Schema = Mapping[str, Any]

BOUNDS = {
    "minimum": "&ge;",
    "exclusiveMinimum": "&gt;",
    "maximum": "&le;",
    "exclusiveMaximum": "&lt;",
}


def configuration() -> str:
    """The page: `TrialConfig`, then all that its fields may hold, registered kinds included."""
    schema = TrialConfig.model_json_schema()
    models = {schema["title"]: schema, **schema["$defs"]}
    sections = [_section(name, model) for name, model in models.items() if "properties" in model]
    head = (
        "# Configuration\n\nThe fields of a `trial.json`. In a space, each may also be `{ choice = "
        "[...] }` or `{ low = ..., high = ... }`; `--set train.epochs=2` sets one by its path."
    )
    return "\n\n".join([head, *sections])


def _section(name: str, model: Schema) -> str:
    text, meanings = _documented(model.get("description", ""))
    rows = [
        f"| `{field}` | {_values(found)} | {_default(found)} | {cell(meanings.get(field, ''))} |"
        for field, found in model["properties"].items()
    ]
    table = "\n".join(["| Field | Values | Default | |", "|---|---|---|---|", *rows])
    return f"## {name}\n\n{text}\n\n{table}"


def _documented(docstring: str) -> tuple[str, dict[str, str]]:
    """The text of a docstring, and what it says of each attribute."""
    text, meanings = list[str](), dict[str, str]()
    for section in Docstring(docstring).parse("google", warnings=False):
        if isinstance(section, DocstringSectionText):
            text.append(section.value)
        if isinstance(section, DocstringSectionAttributes):
            meanings |= {attribute.name: attribute.description for attribute in section.value}
    return "\n\n".join(text), meanings


def _values(schema: Schema) -> str:
    """What a field takes, in a few words, with links to models."""
    return " or ".join(dict.fromkeys(_alternatives(schema)))


def _alternatives(schema: Schema) -> Iterator[str]:
    for part in schema.get("anyOf", schema.get("oneOf", ())):
        yield from _alternatives(part)
    if reference := schema.get("$ref"):
        name = reference.rsplit("/", 1)[-1]
        yield f"[{name}](#{name.lower()})"
    if "const" in schema:
        yield f"`{json.dumps(schema['const'])}`"
    elif "enum" in schema:
        yield " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    elif "type" in schema:
        bounds = [f"{sign} {schema[key]}" for key, sign in BOUNDS.items() if key in schema]
        yield " ".join([_type(schema), *bounds])


def _type(schema: Schema) -> str:
    if schema["type"] == "array":
        items = schema.get("prefixItems") or [schema.get("items", {})]
        return f"list of {' and '.join(dict.fromkeys(_values(item) for item in items))}"
    return {"null": "none", "object": "table"}.get(schema["type"], schema["type"])


def _default(schema: Schema) -> str:
    default = schema.get("default")
    if isinstance(default, Mapping):
        return f"`{default['kind']}`" if "kind" in default else "its own defaults"
    return f"`{json.dumps(default)}`" if "default" in schema else ""


def cell(text: str) -> str:
    """A text as it can stand in a table."""
    return escape(text).replace("|", "&#124;").replace("\n", " ")
