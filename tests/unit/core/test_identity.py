"""What counts of a config is what its fields say; what was recorded comes back, whatever the defaults have become."""

from __future__ import annotations

from typing import Annotated, Any, get_args

import pytest
from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from w2s_ray.config.adapt import ADAPTS, ASK, DRAWN, EMBED, MEMORY, PROBE, STACK, TEXTS
from w2s_ray.config.method import MethodParams
from w2s_ray.config.recipe import Check, Lora, Recipe
from w2s_ray.config.schema import SEARCH, STUDY, StudyConfig
from w2s_ray.config.search_spec import SearchSpec
from w2s_ray.config.task import TaskSpec
from w2s_ray.core.frozen import Frozen
from w2s_ray.core.identity import NEVER, Counts, identity, marks, restore
from w2s_ray.core.plugins import GROUPS, available

# Recipes by what they are for, as the steps ask: the uses, and another recipe of that kind.
RECIPES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "full": (ADAPTS["full"].uses, {}),
    "lora": (ADAPTS["lora"].uses, {"adapt": "lora"}),
    "probe": (ADAPTS["probe"].uses, {"adapt": "probe"}),
    "drawn": ((PROBE, DRAWN), {"adapt": "probe", "features": 0.5}),
    "texts": ((TEXTS,), {}),
    "embed": ((EMBED,), {}),
    "ask": ((ASK,), {}),
    "stack": ((STACK,), {}),
    "memory": ((MEMORY,), {}),
}
OTHER: dict[str, Any] = {  # another value of each field that has no obvious one
    "adapt": "lora", "loss": {"type": "logconf"}, "schedule": "linear", "betas": (0.5, 0.9), "clip": None,
    "precision": "bf16", "pooling": "mean", "head_init": "small", "lora": Lora(rank=2), "layer": 0,
    "prompt": "Q {text}", "order": "once", "check": Check(), "features": 0.25,
}  # fmt: skip


def another(field: FieldInfo, name: str, value: Any) -> Any:
    """A value that the field allows and does not have."""
    if name in OTHER and OTHER[name] != value:
        return OTHER[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    raise AssertionError(f"say another value of {name}")


def changed(recipe: Recipe, name: str) -> Recipe:
    """The same recipe but for one field, checked as a YAML's."""
    value = another(Recipe.model_fields[name], name, getattr(recipe, name))
    return Recipe.model_validate({**{n: getattr(recipe, n) for n in Recipe.model_fields}, name: value})


@pytest.mark.parametrize("use", RECIPES)
@pytest.mark.parametrize("name", [name for name in Recipe.model_fields if name != "adapt"])
def test_a_field_of_a_recipe_moves_the_identities_that_it_counts_for_and_no_other(use: str, name: str) -> None:
    uses, fields = RECIPES[use]
    recipe = Recipe(**fields)
    moved = identity(recipe, *uses) != identity(changed(recipe, name), *uses)
    assert moved == marks(Recipe)[name].for_any(frozenset(uses))


def test_what_each_use_counts_is_written_down() -> None:
    """A change here changes keys, or reuses what is not the same."""
    counted = {use: sorted(identity(Recipe(**fields), *uses)) for use, (uses, fields) in RECIPES.items()}
    learning = {
        "adapt", "lr", "epochs", "batch", "schedule", "warmup", "betas", "eps", "weight_decay", "clip", "precision",
        "dropout", "order", "bucket", "seed",
    }  # fmt: skip
    full = learning | {
        "loss",
        "pooling",
        "head_init",
        "layer",
        "features",
        "prompt",
        "answer_tokens",
        "check",
        "per_token",
    }
    probe = {"adapt", "precision", "pooling", "l2", "layer", "features"}
    assert counted == {
        "full": sorted(full),
        "lora": sorted(full | {"lora"}),
        "probe": sorted(probe),
        "drawn": sorted(probe | {"seed"}),
        "texts": sorted(learning),
        "embed": ["layer", "pooling", "precision", "prompt"],
        "ask": ["answer_tokens", "per_token", "precision", "prompt"],
        "stack": ["adapt", "layer", "lora", "pooling", "precision"],
        "memory": ["adapt", "batch", "lora", "precision"],
    }
    assert "seed" not in Recipe(adapt="probe").identity()
    assert "lora" in Recipe(adapt="lora").reading_identity()


def with_other_defaults(kind: type[BaseModel]) -> type[BaseModel]:
    """The same class, of which every field has another default."""
    fields: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        if field.default is PydanticUndefined or field.default is None or name == "type":
            continue
        try:
            default = another(field, name, field.default)
        except AssertionError:
            continue
        fields[name] = (Annotated[field.annotation, marks(kind)[name], *field.metadata], default)
    return create_model(f"Other{kind.__name__}", __base__=kind, **fields)


@pytest.mark.parametrize("use", ["full", "lora", "probe", "drawn", "texts"])
def test_a_recipe_comes_back_with_the_recorded_values_whatever_the_defaults_have_become(use: str) -> None:
    uses, fields = RECIPES[use]
    recorded = identity(Recipe(**fields, seed=5), *uses)
    later = with_other_defaults(Recipe)
    assert later().lr != Recipe().lr  # type: ignore[attr-defined]
    assert identity(restore(later, recorded), *uses) == recorded == identity(restore(Recipe, recorded), *uses)


class Old(Frozen):
    """As it was when results were made."""

    rate: float = 1.0


class New(Frozen):
    """With a field that came later, which those results were made with at 3, and whose default is another one now."""

    rate: float = 2.0
    extra: Annotated[int, Counts(before=3)] = 4
    inner: Annotated[Lora, Counts(before=Lora(rank=4))] = Lora()
    place: Annotated[str, NEVER] = "here"


def test_a_field_that_came_later_is_left_out_where_it_is_as_before_and_comes_back_as_that() -> None:
    as_before = New(rate=1.0, extra=3, inner=Lora(rank=4))
    assert identity(as_before) == identity(Old()) == {"rate": 1.0}
    assert restore(New, {"rate": 1.0}) == as_before
    assert restore(New, identity(New())) == New(), "its default now is another thing, and recorded"
    assert set(identity(New())) == {"rate", "extra", "inner"}
    assert identity(New(place="there")) == identity(New())
    assert New.model_validate({"rate": 1.0}).extra == 4, "who writes a YAML gets the defaults of today"


def test_inside_a_config_the_same_holds() -> None:
    class Outer(Frozen):
        one: New = New()
        many: tuple[New, ...] = ()
        named: dict[str, New] = Field(default_factory=dict)

    outer = Outer(one=New(extra=3), many=(New(extra=3), New()), named={"a": New(extra=3)})
    found = identity(outer)
    assert "extra" not in found["one"] and "extra" not in found["many"][0] and "extra" not in found["named"]["a"]
    assert found["many"][1]["extra"] == 4
    assert found["one"]["place"] == "here", "what is inside of a config counts whole"
    assert restore(Outer, found) == outer


@pytest.mark.parametrize("group", GROUPS)
def test_a_plug_in_comes_back_as_it_was_recorded(group: str) -> None:
    for plugin in available(group).values():
        if not issubclass(plugin, BaseModel) or any(field.is_required() for field in plugin.model_fields.values()):
            continue
        recorded = identity(plugin())
        assert recorded["type"] in get_args(plugin.model_fields["type"].annotation)
        assert identity(restore(plugin, recorded)) == recorded
        assert identity(restore(with_other_defaults(plugin), recorded)) == recorded


def test_a_loss_inside_a_recipe_comes_back_by_its_type() -> None:
    recipe = Recipe(loss={"type": "logconf", "aux": 0.25})  # type: ignore[arg-type]  # as a YAML has it
    assert restore(Recipe, recipe.identity()).loss == recipe.loss


def test_a_place_is_no_part_of_a_task_but_of_a_study() -> None:
    one, other = (TaskSpec(data=f"file:{name}.jsonl") for name in "ab")
    assert identity(one) == identity(other)
    assert {name for name in TaskSpec.model_fields if name not in identity(one)} == {"data", "test_data", "pool_data"}
    rest = {"name": "x", "models": {"weak": "a", "strong": "b"}, "methods": ["naive"]}
    studies = [StudyConfig.model_validate({**rest, "task": task}) for task in (one, other)]
    assert identity(studies[0], STUDY) != identity(studies[1], STUDY)


def test_a_search_counts_what_it_tries_and_a_study_all_but_where_it_runs() -> None:
    of_search = {name for name in StudyConfig.model_fields if marks(StudyConfig)[name].for_any(frozenset([SEARCH]))}
    of_study = {name for name in StudyConfig.model_fields if marks(StudyConfig)[name].for_any(frozenset([STUDY]))}
    assert set(StudyConfig.model_fields) - of_study == {"resources", "track", "notify", "tune"}
    assert of_study - of_search == {"name", "hypothesis", "seeds", "tuned"}
    assert {name for name in SearchSpec.model_fields if marks(SearchSpec)[name] is NEVER} == {"space", "trials"}


def test_every_config_says_it_on_the_field() -> None:
    """No field of a method is marked: a method is never a step's parameter."""
    for plugin in available("w2s_ray.methods").values():
        assert issubclass(plugin, MethodParams)
        assert not [name for name in plugin.model_fields if marks(plugin)[name].uses]
