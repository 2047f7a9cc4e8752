"""The reference pages, made from what they describe: the keys of a study and of its results from their schemas, the
commands from `w2s` itself, what a method sees from its docstrings.

They lie in `docs/reference/`, so that they can be read without being built; a test fails when they are not what
`python -m w2s_ray.cli.reference` would write.
"""

from __future__ import annotations

import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from w2s_ray.core.plugins import available, summary
from w2s_ray.reports.schema import in_words, schema_table

FOLDER = Path(__file__).parents[2] / "docs/reference"
MADE = "<!-- made by `make reference` -->"
WRAP = textwrap.TextWrapper(120, break_long_words=False, break_on_hyphens=False)

# What people who write methods and plug-ins import, by what they need it for.
NAMES: dict[str, tuple[str, ...]] = {
    "What a method is": ("config.method:MethodParams", "ops.task:Outcome"),
    "What it is given": (
        "ops.task:Task", "ops.task:Learner", "ops.task:Trained", "ops.task:Member", "ops.task:Oracle",
    ),
    "What it calls": ("ops.verbs:Verbs", "core.seeds:stream"),
    "What it looks into": (
        "core.dataset:Dataset", "core.labels:LabelSet", "core.answers:Answers", "core.features:Features",
        "engine.handle:Handle",
    ),
    "What it says of itself": ("core.diagnostics:Diagnostic", "core.diagnostics:Column", "core.diagnostics:Scored"),
    "What plugs in": (
        "blocks.losses.contract:Given", "blocks.losses.contract:LossFn", "blocks.combiners.contract:Combiner",
        "blocks.cleaners.contract:Cleaner", "data.formats:Format", "data.formats:Example", "data.scheme:Scheme",
        "ops.models:ModelScheme", "trackers.contract:Tracker", "trackers.contract:Sink", "trackers.contract:Run",
        "trackers.contract:Spot",
    ),
    "How it fails": ("core.errors:ConfigError", "core.errors:DataError", "core.errors:ResourceError"),
}  # fmt: skip


def pages() -> dict[str, str]:
    """File name -> text."""
    return {
        "study.md": study_page(),
        "results.md": results_page(),
        "commands.md": commands_page(),
        "python.md": python_page(),
    }


# The keys of a study


def study_page() -> str:
    from w2s_ray.config.place import Driver, Place
    from w2s_ray.config.recipe import Check, Lora, Recipe
    from w2s_ray.config.schema import Models, Placements, Recipes, ResourceFields, StudyConfig
    from w2s_ray.config.search_spec import Objective, Range, SearchSpec
    from w2s_ray.config.task import TaskSpec

    return _page(
        "The keys of a study",
        "Every key of a study's YAML, with its default. A study needs `name`, `task`, `models` and `methods`; besides,"
        " it may have `extends: FILE`, a study whose keys it takes over and changes. A key that is not here is refused."
        " `config.resolved.yaml` in a run's folder has all keys with the values that were used.",
        _section("The study", StudyConfig),
        _section("`task`", TaskSpec, "[Use your own data](../how-to/your-own-data.md)."),
        _section("`models`", Models, "[Use your own model](../how-to/your-own-model.md) has all ways to name one."),
        _methods(),
        _section("`train`", Recipes),
        _section("`train.weak`, `train.strong`, `train.by_model.MODEL`", Recipe),
        _section("`lora`", Lora),
        _section("`check`", Check),
        _plugins("`loss`", "w2s_ray.losses", "[Formulas and sources](../how-to/losses.md)."),
        _plugins("`combine`", "w2s_ray.combiners", "[Of ensembles](../methods/ensembles.md#combiners)."),
        _plugins("`by` of `clean_labels`", "w2s_ray.cleaners", ""),
        _section("`resources`", Placements),
        _section(
            "`resources.weak`, `resources.strong`", ResourceFields,
            "What they mean: [over several devices](../how-to/strong-students.md#the-keys).",
        ),
        _section("`tune`", SearchSpec, "[Search for a better recipe](../how-to/search.md)."),
        _section("A range of `tune.space`", Range),
        _section("An objective of `tune`", Objective),
        _section("The place file", Place, "Another file, for `--place`: [where](../how-to/clusters.md)."),
        _section("`driver` of the place file", Driver),
    )  # fmt: skip


def _section(title: str, model: type[Any], more: str = "") -> str:
    return _joined(f"## {title}", _opening(model), more, _table("key", _keys(model)))


def _methods() -> str:
    from w2s_ray.config.method import MethodParams

    shared = _table("key", _keys(MethodParams))
    return _joined(
        _plugins("`methods`", "w2s_ray.methods", "[What each does](../methods/finetuning.md). All take, too:"), shared
    )


def _plugins(title: str, group: str, more: str) -> str:
    """The plug-ins of this package; those of others are not everybody's."""
    ours = {
        name: plugin for name, plugin in available(group).items() if plugin.__module__.partition(".")[0] == "w2s_ray"
    }
    rows = [(f"`{name}`", summary(plugin), ", ".join(_parameters(plugin))) for name, plugin in ours.items()]
    return _joined(f"## {title}", _cells(("`type`", "what", "parameters"), rows), more)


def _parameters(plugin: type[BaseModel]) -> Iterator[str]:
    for name, field in plugin.model_fields.items():
        if name not in ("type", "name", "loss"):
            yield f"`{name}` {'' if field.is_required() else _default(field)}".strip()


def _keys(model: type[Any]) -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        if name != "type":
            default = "needed" if field.is_required() else _default(field)
            yield f"`{name}`", in_words(field.annotation), default, field.description or ""


def _default(field: FieldInfo) -> str:
    return _code(field.get_default(call_default_factory=True))


def _code(value: Any) -> str:
    """As a YAML would say it; a whole section of defaults is those of its own table."""
    if isinstance(value, BaseModel):
        name = getattr(value, "type", None)
        return f"`{name}`" if name else "as below"
    if is_dataclass(value):
        return "as below"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (tuple, list)):
        whole = any(isinstance(inner, BaseModel) for inner in value)
        return "as below" if whole else f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, Mapping):
        return "`{}`"
    return {None: "", "": ""}.get(value, f"`{value}`")


# What comes out


def results_page() -> str:
    return _page(
        "The keys of `results.json`",
        "Schema 1. A dot leads into an object, `[]` into each entry of a list: `cells[].seed` is the `seed` of each"
        " entry of `cells`. Those below stay as they are in schema 1. There are further ones, such as"
        " `failures`, `steps.by_step`, and of a cell `grid`, `slices`, `placement`, `seconds` and `facts`: they are not"
        " promised, and more may appear. [What the numbers mean](../how-to/read-the-results.md).",
        schema_table(),
    )


# The commands


def commands_page() -> str:
    from typer.main import get_command

    from w2s_ray.cli.app import COMMANDS, app

    known: Mapping[str, Any] = get_command(app).commands  # type: ignore[attr-defined]  # a group's
    listed = {heading: [one.__name__.rstrip("_") for one in some] for heading, some in COMMANDS.items()}
    others = [name for name in known if not any(name in names for names in listed.values())]
    listed["What there is"] += others
    parts = [
        _joined(f"## {heading}", *(_command(f"w2s {name}", known[name]) for name in names))
        for heading, names in listed.items()
    ]
    return _page(
        "The commands",
        "What `w2s --help` and `w2s COMMAND --help` say, on one page. Exit codes: 0 done; 1 a step failed, the store"
        " cannot be used, or the runs of `w2s compare` differ; 2 a mistake in what was given; 3 the budget is spent;"
        " 130 stopped. After the last two the same command goes on.",
        *parts,
    )


def _command(name: str, command: Any) -> str:
    arguments = [_argument(one) for one in command.params if _is_argument(one)]
    told = [(f"`{str(one.name).upper()}`", one.help) for one in command.params if _is_argument(one) and one.help]
    rows = [_option(one) for one in command.params if not _is_argument(one) and not getattr(one, "hidden", False)]
    options = _cells(("option", "what"), [*told, *(row for row in rows if row[0] != "`--help`")])
    below = [_command(f"{name} {inner}", one) for inner, one in getattr(command, "commands", {}).items()]
    return _joined(f"### {' '.join([name, *arguments])}", _prose(command.help or ""), options, *below)


def _is_argument(one: Any) -> bool:
    return bool(one.param_type_name == "argument")


def _argument(one: Any) -> str:
    name = str(one.name).upper()
    return name if one.required else f"[{name}]"


def _option(one: Any) -> tuple[str, str]:
    shown = " ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
    value = "" if one.is_flag else f" {one.metavar or 'N'}"
    default = f" Default: `{one.default}`." if one.default and not one.is_flag else ""
    variable = f" (also `{one.envvar}`)" if one.envvar else ""
    return f"{shown}{value}", f"{one.help or ''}{variable}{default}"


# What a method sees


def python_page() -> str:
    parts = [_joined(f"## {heading}", *(_name(place) for place in places)) for heading, places in NAMES.items()]
    return _page(
        "Python: what methods and plug-ins use",
        "[Add a method](../../CONTRIBUTING.md#add-a-method) shows how they go together. What is not here may change"
        " without a word.",
        "## From Python\n\n`import w2s_ray as w2s` is for scripts and notebooks: `w2s.Study`, `w2s.run`, `w2s.plan`,"
        " `w2s.results`, and the errors that they raise. [From Python and notebooks](../how-to/from-python.md) says"
        " what each takes and gives.",
        *parts,
    )


def _name(place: str) -> str:
    module, _, name = place.partition(":")
    found = getattr(importlib.import_module(f"w2s_ray.{module}"), name)
    head = f"### `{name}`\n\n`from w2s_ray.{module} import {name}`"
    if not inspect.isclass(found):
        return _joined(head, f"`{_signature(name, found)}`", _opening(found))
    return _joined(head, _opening(found), _members(found))


def _members(found: type[Any]) -> str:
    rows = [(f"`{name}`", text) for name, text in _fields_of(found).items()]
    declared = {*getattr(found, "__annotations__", {}), "model_config"}
    for name, member in vars(found).items():
        if name.startswith("_") or name in declared:
            continue
        inner = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        if isinstance(member, property):
            rows.append((f"`{name}`", _opening(member.fget)))
        elif inspect.isfunction(inner):
            rows.append((f"`{_signature(name, inner)}`", _opening(inner)))
    return _cells(("name", "what"), rows)


def _fields_of(found: type[Any]) -> dict[str, str]:
    if is_dataclass(found):
        return {f"{one.name}: {one.type}": "" for one in fields(found) if not one.name.startswith("_")}
    described = getattr(found, "model_fields", {})
    return {name: field.description or "" for name, field in described.items()}


def _signature(name: str, function: Callable[..., Any]) -> str:
    """With the types as they are written."""
    signature = inspect.signature(function)
    kept = [one for one in signature.parameters.values() if one.name not in ("self", "cls")]
    text = re.sub(r"'([^']*)'", lambda found: found[1] or "''", str(signature.replace(parameters=kept)))
    return f"{name}{text}"


# Markdown


def _page(title: str, *parts: str) -> str:
    paragraphs = _joined(f"# {title}", MADE, *parts).split("\n\n")
    return "\n\n".join(one if one[0] in "#|<" else WRAP.fill(one) for one in paragraphs) + "\n"


def _joined(*parts: str) -> str:
    return "\n\n".join(part.strip() for part in parts if part.strip())


def _table(first: str, rows: Iterator[tuple[str, str, str, str]]) -> str:
    return _cells((first, "value", "default", "meaning"), list(rows))


def _cells(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [head, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    drawn = [re.sub(r" +(?=\|)", " ", f"| {' | '.join(line)} |") for line in lines]
    return "\n".join([drawn[0], "|---" * len(head) + "|", *drawn[1:]])


def _opening(found: Any) -> str:
    """A docstring's first paragraph; pydantic's and the dataclass's own say nothing."""
    text = _prose(vars(found).get("__doc__") or "" if inspect.isclass(found) else found.__doc__ or "")
    return "" if re.match(r"\w+\(", text) else text.split("\n\n")[0]


def _prose(text: str) -> str:
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
