"""The built-in world: a generated language with known truth, the tasks that are made of it, its corpus, and the small
models that were pretrained on that.

A plug-in like those of other packages: `source.py` is its scheme of rows (`world:TASK`), `models.py` that of models
(`world/NAME`). Nothing else in the package knows of it.
"""
