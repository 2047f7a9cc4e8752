"""What can be refused before anything runs: names of models, sources and formats that mean nothing. Rows are checked when they are prepared."""

from __future__ import annotations

from w2s_ray.config.load import Study
from w2s_ray.core.errors import ConfigError
from w2s_ray.data.prepare import format_of
from w2s_ray.data.sources import source_identity
from w2s_ray.ops.models import identify


def check_names(study: Study) -> None:
    """Every model, data source and format of every cell; raises the first mistake."""
    for model in dict.fromkeys(name for cell in study.cells for name in (cell.config.models.weak, cell.config.models.strong)):
        identify(model, study.base)
    for spec in {cell.config.task.model_dump_json(): cell.config.task for cell in study.cells}.values():
        source_identity(spec.data, study.base)
        try:
            format_of(spec)
        except ConfigError as error:
            raise ConfigError(f"task.format: {error}") from None
        for key, apart in (("task.test_data", spec.test_data), ("task.pool_data", spec.pool_data)):
            if apart is not None:
                source_identity(apart, study.base, key=key)
