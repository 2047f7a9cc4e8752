"""Losses: one file a family, each a frozen config that builds its loss (plug-in group `w2s_ray.losses`).

What a loss is stands in `contract.py`. The configs load without torch, so that a study can be read and planned without
it.
"""
