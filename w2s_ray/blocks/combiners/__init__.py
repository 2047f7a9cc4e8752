"""Combiners: what several sources say of the same rows becomes one label set. One file a family, each a frozen config
that combines (plug-in group `w2s_ray.combiners`). What a combiner is stands in `contract.py`."""
