"""The trackers that a study, a place and a command line name together, and what tells them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_ray.config.load import Study, parse_value
from w2s_ray.config.place import Place
from w2s_ray.config.schema import StudyConfig
from w2s_ray.config.search_spec import SearchSpec
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.plugins import build
from w2s_ray.core.secrets import variable_of
from w2s_ray.eval.score import cell_names
from w2s_ray.study.results import config_digest
from w2s_ray.trackers.contract import Tracker
from w2s_ray.trackers.tracking import Told, Tracking

if TYPE_CHECKING:
    from w2s_ray.study.tuning import Searching

GROUP = "w2s_ray.trackers"

Warn = Callable[[str], None]


def trackers_of(config: StudyConfig, place: Place, names: Sequence[str] = ()) -> list[Tracker]:
    """Each once; a bare name on the command line means the one that the study has set up, if it has one."""
    found: list[Tracker] = [*config.track, *place.track]  # type: ignore[list-item]  # the group's plug-ins are these
    url = config.notify or place.notify
    found += [build(GROUP, {"type": "notify", "url": url})] if url is not None else []
    for text in names:
        one = _named(text)
        found += [] if text in {known.name for known in found} else [one]
    return list(dict.fromkeys(found))


def _named(text: str) -> Tracker:
    """A command line is seen by others, and is repeated in messages."""
    try:
        one: Tracker = build(GROUP, parse_value(text, "track"))
    except ValueError as error:
        said = str(error) if isinstance(error, ConfigError) else "its settings are wrong; see docs/how-to/trackers.md"
        raise ConfigError(f"--track: {said}") from None
    if literal_secrets([one]):
        raise ConfigError(f"--track {one.name}: others see an address on a command line; write $NAME in its place")
    return one


def literal_secrets(trackers: Sequence[Tracker]) -> list[str]:
    """Names of those that hold a secret themselves, and not the name of a variable that holds it."""
    return [one.name for one in trackers if any(variable_of(text) is None for text in one.secrets())]


def tracking_of(
    study: Study, trackers: Sequence[Tracker], store: str, folder: Path, lasting: bool, warn: Warn
) -> Tracking:
    """The sink that tells them."""
    told = Told(study, config_digest(study), cell_names(study.cells), store, folder, lasting)
    return Tracking(trackers, told, warn)


def tracking_of_search(
    planned: Searching, trackers: Sequence[Tracker], folder: Path, lasting: bool, warn: Warn
) -> Tracking:
    """The same for a search, whose trials are runs."""
    told = Told(planned.study, planned.journal.digest, (), planned.context.store.url, folder, lasting)
    return Tracking(trackers, told, warn)


def trial_run(trial: Any, spec: SearchSpec) -> dict[str, Any]:
    """What a tracker is told of a trial of Optuna's."""
    values = zip((objective.label for objective in spec.objective), trial.values or (), strict=False)
    reason = str(trial.user_attrs.get("error", ""))
    status = "failed" if trial.state.name == "FAIL" else "done"
    return {"status": status, "config": dict(trial.params), "numbers": dict(values), "reason": reason}
