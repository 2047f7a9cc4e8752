"""Plug points: a name in a YAML (`type: logconf`) finds the class that declares it.

Each plug-in is a frozen pydantic model with a field `type: Literal["name"]`: the config of the implementation, which
also builds it, so a name is declared once. Built-in ones are found by importing the modules of one folder; third
parties add theirs through entry points of the same group (`[project.entry-points."w2s_ray.losses"]`), without a fork.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from w2s_ray.core.errors import ConfigError

# group of entry points -> the folder with the built-in ones, and what one of them is called
GROUPS = {
    "w2s_ray.methods": "w2s_ray.methods",
    "w2s_ray.losses": "w2s_ray.blocks.losses",
    "w2s_ray.combiners": "w2s_ray.blocks.combiners",
    "w2s_ray.cleaners": "w2s_ray.blocks.cleaners",
    "w2s_ray.formats": "w2s_ray.data.formats",
    "w2s_ray.trackers": "w2s_ray.trackers",
}
NOUNS = {
    "w2s_ray.methods": "method",
    "w2s_ray.losses": "loss",
    "w2s_ray.combiners": "combiner",
    "w2s_ray.cleaners": "cleaner",
    "w2s_ray.formats": "format",
    "w2s_ray.trackers": "tracker",
}

UNSHOWN = ("w2s_ray.trackers",)  # groups whose plug-ins are given addresses: no message repeats what stands there
MARK = "plugin"  # in a JSON schema: any plug-in of this group


def type_name(plugin: type[Any]) -> str:
    """The name that a plug-in declares in its `type` field."""
    return str(get_args(plugin.model_fields["type"].annotation)[0])


@cache
def available(group: str) -> dict[str, type[Any]]:
    """All plug-ins of a group by name. Two plug-ins of one name are an error: a study must not depend on which came
    first."""
    found: dict[str, type[Any]] = {}
    package = importlib.import_module(GROUPS[group])
    modules = [importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    candidates = [
        value
        for module in modules
        for value in vars(module).values()
        if _is_plugin(value) and value.__module__ == module.__name__
    ]
    candidates += [entry.load() for entry in entry_points(group=group)]
    for plugin in candidates:
        name = type_name(plugin)
        if found.setdefault(name, plugin) is not plugin:
            raise ConfigError(
                f"two {group.split('.')[1]} are named {name!r}: {found[name].__module__} and {plugin.__module__};"
                " uninstall or rename one"
            )
    return dict(sorted(found.items()))


def summary(plugin: type[Any]) -> str:
    """The first sentence or two of its docstring, in one line."""
    return " ".join((plugin.__doc__ or "").strip().split("\n\n")[0].split())


def contributed(group: str, reserved: Iterable[str]) -> dict[str, Any]:
    """The entry points of a group whose plug-ins are objects, by name. A name that stands twice, or that is built in,
    is an error."""
    found: dict[str, Any] = {}
    for entry in entry_points(group=group):
        if entry.name in found or entry.name in reserved:
            whose = "is built in" if entry.name in reserved else "is contributed by two packages"
            raise ConfigError(
                f"the name {entry.name!r} in the entry points {group} {whose}; uninstall or rename {entry.value!r}"
            )
        found[entry.name] = entry.load()
    return found


def load(place: str) -> Any:
    """The object that `module:name` means."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _is_plugin(value: object) -> bool:
    fields = getattr(value, "model_fields", {})
    return (
        isinstance(value, type)
        and "type" in fields
        and bool(get_args(fields["type"].annotation))
        and not value.__name__.startswith("_")
    )


def find(group: str, name: str) -> type[Any]:
    """The plug-in of this name, or an error that lists what there is."""
    plugins = available(group)
    if name not in plugins:
        shown = "" if group in UNSHOWN else f" {name!r}"
        raise ConfigError(f"unknown {NOUNS[group]}{shown}{closest(name, plugins)}; there are: {', '.join(plugins)}")
    return plugins[name]


def plugin(group: str) -> BeforeValidator:
    """A validator for the annotation of a config's field that holds a plug-in of this group."""

    def built(value: Any, info: ValidationInfo) -> Any:
        return build(group, value, info.context)

    return BeforeValidator(built, json_schema_input_type=Annotated[Any, WithJsonSchema({MARK: group})])


def build(group: str, value: Any, context: Any = None) -> Any:
    """`logconf` and `{type: logconf, aux: 0.5}` become the object that the plug-in of this name declares; an object
    that is built already is returned as it is."""
    if isinstance(value, str):
        value = {"type": value}
    if isinstance(value, dict):
        if not value.get("type"):
            raise ConfigError(
                f"has no `type`, which names the {NOUNS[group]}; there are: {', '.join(available(group))}"
            )
        return find(group, str(value["type"])).model_validate(value, context=context)
    if not hasattr(type(value), "model_fields"):
        shown = f"it is of the type {type(value).__name__} and" if group in UNSHOWN else f"{value!r} is"
        raise ConfigError(f"{shown} not a {NOUNS[group]}; write its name, or {{type: NAME, …}} with its parameters")
    return value


def closest(name: str, names: Any) -> str:
    """' (did you mean …?)' when a known name is near, else nothing."""
    by_spelling = {str(known).lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), by_spelling, n=1)
    return f" (did you mean {by_spelling[near[0]]!r}?)" if near else ""
