"""The JSON schema of a study's YAML, for editors: made of the models that the loader checks with, and of all plug-ins
that are installed.

It is never stricter than the loader. It is looser where a schema cannot say what the loader checks (values that must
fit each other) and in a file that extends another one, where any key may come from there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from w2s_ray.config.schema import GRID_VARIES, StudyConfig
from w2s_ray.core.plugins import MARK, NOUNS, available, summary

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FORMATS = "w2s_ray.formats"  # which a study names and gives no parameters
# Spellings of a truth value: `yes` and `on` are true in YAML 1.1, and text in most editors.
TRUTH = "^([yY]([eE][sS])?|[nN][oO]?|[tT]([rR][uU][eE])?|[fF]([aA][lL][sS][eE])?|[oO][nN]|[oO][fF][fF]|[01])$"
EXTENDS = {"type": ["string", "null"], "description": "one file, whose keys are those that this one does not have"}
EXTENDING = {"required": ["extends"], "properties": {"extends": {"type": "string"}}}


class _Lax(GenerateJsonSchema):
    """As pydantic makes it, with the spellings that it takes for numbers and truth values."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        return super().int_schema(schema) | {"type": ["integer", "string", "boolean"], "pattern": "[0-9]"}

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return super().float_schema(schema) | {"type": ["number", "string", "boolean"], "pattern": "[0-9]"}

    def bool_schema(self, schema: core_schema.BoolSchema) -> JsonSchemaValue:
        return {"type": ["boolean", "string", "integer"], "pattern": TRUTH, "minimum": 0, "maximum": 1}

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        """To Python 0 and 1 are False and True."""
        truths = [bool(value) for value in schema["expected"] if value in (0, 1) and isinstance(value, int)]
        made = super().literal_schema(schema)
        return {**made, "enum": [*made["enum"], *truths]} if truths else made


def schema_text() -> str:
    """As it stands in a file."""
    return json.dumps(study_schema(), indent=1, ensure_ascii=False) + "\n"


def study_schema() -> Schema:
    """The schema with all plug-ins of this installation."""
    plugins = {group: available(group) for group in NOUNS if group != FORMATS}
    models: list[type[BaseModel]] = [StudyConfig, *(one for known in plugins.values() for one in known.values())]
    refs, whole = models_json_schema([(model, "validation") for model in models], schema_generator=_Lax)
    defs: dict[str, Schema] = whole["$defs"]
    study = defs.pop(_name(refs[StudyConfig, "validation"]))
    joined: set[str] = set()
    needed = _needs(study, defs, joined)
    for group, known in plugins.items():
        branches = {name: defs[_name(refs[one, "validation"])] for name, one in known.items()}
        defs[NOUNS[group]] = _one_of(known, branches, partial=group in joined)
    defs[NOUNS[FORMATS]] = {"oneOf": _names(available(FORMATS))}
    defs["TaskSpec"]["properties"]["format"]["anyOf"][0] = {"$ref": f"#/$defs/{NOUNS[FORMATS]}"}
    for varied in (study["properties"]["grid"], defs["SearchSpec"]["properties"]["space"]):
        varied["propertyNames"] = {"pattern": rf"^({'|'.join(GRID_VARIES)})(\.|$)"}
    study["properties"] = {"extends": EXTENDS, **study["properties"]}
    head = {"$schema": DIALECT, "title": "a study of w2s_ray"}
    whole = _referred({**head, **study, "if": EXTENDING, "else": needed})
    return {**whole, "$defs": dict(sorted(_reached(whole, _referred(defs)).items()))}


def _needs(schema: Schema, defs: Mapping[str, Schema], joined: set[str]) -> Schema:
    """What must be there, taken out of the schemas of mappings, which a file that extends another one has in part.
    `joined` collects the groups of plug-ins that may stand there in part."""
    if "$ref" in schema:
        return _needs(defs[_name(schema)], defs, joined)
    if MARK in schema:
        joined.add(schema[MARK])
        return {"required": ["type"]}
    for branch in schema.get("anyOf", ()):
        if needed := _needs(branch, defs, joined):
            return needed
    within = {name: _needs(inner, defs, joined) for name, inner in schema.get("properties", {}).items()}
    others = schema.get("additionalProperties")
    needed = {
        "required": schema.pop("required", []),
        "properties": {name: inner for name, inner in within.items() if inner},
        "additionalProperties": _needs(others, defs, joined) if isinstance(others, dict) else {},
    }
    return {name: part for name, part in needed.items() if part}


def _one_of(known: Mapping[str, type[Any]], branches: Mapping[str, Schema], *, partial: bool) -> Schema:
    """A plug-in by its name, or with its parameters. One that may stand in part has its name elsewhere."""
    for branch in branches.values():
        branch["required"] = ["type"] if partial else sorted({"type", *branch.get("required", ())})
    unnamed: list[Schema] = [{"type": "object", "not": {"required": ["type"]}}] if partial else []
    return {"oneOf": [*_names(known), *branches.values(), *unnamed]}


def _names(known: Mapping[str, type[Any]]) -> list[Schema]:
    return [{"const": name, "description": summary(one)} for name, one in known.items()]


def _referred(schema: Any) -> Any:
    """With a reference in place of each mark of a plug-in."""
    if isinstance(schema, dict):
        rest = {name: _referred(inner) for name, inner in schema.items() if name != MARK}
        return rest | ({"$ref": f"#/$defs/{NOUNS[schema[MARK]]}"} if MARK in schema else {})
    return [_referred(inner) for inner in schema] if isinstance(schema, list) else schema


def _reached(schema: Any, defs: Mapping[str, Schema]) -> dict[str, Schema]:
    """The definitions that a schema refers to, and those that they do."""
    found: dict[str, Schema] = {}
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += part.values()
            if "$ref" in part and (name := _name(part)) not in found:
                found[name] = defs[name]
                waiting.append(defs[name])
        elif isinstance(part, list):
            waiting += part
    return found


def _name(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]
