"""Weak-to-strong generalization experiments on Ray.

`import w2s_ray as w2s` loads nothing but names; what stands behind one is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from w2s_ray.api.results import StudyResults, results
    from w2s_ray.api.run import plan, run
    from w2s_ray.api.study import Study
    from w2s_ray.core.errors import CellsFailed, InputError, Interrupted, ResourceError, W2SError

    __version__: str

__all__ = [
    "CellsFailed", "InputError", "Interrupted", "ResourceError", "Study", "StudyResults", "W2SError", "__version__",
    "plan", "results", "run",
]  # fmt: skip

_PLACES = {
    "w2s_ray.api.results": ("StudyResults", "results"),
    "w2s_ray.api.run": ("plan", "run"),
    "w2s_ray.api.study": ("Study",),
    "w2s_ray.core.errors": ("CellsFailed", "InputError", "Interrupted", "ResourceError", "W2SError"),
}

if not TYPE_CHECKING:  # else a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        import importlib

        if name == "__version__":
            value = importlib.import_module("importlib.metadata").version("w2s_ray")
        else:
            place = next((place for place, names in _PLACES.items() if name in names), None)
            if place is None:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
            value = getattr(importlib.import_module(place), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
