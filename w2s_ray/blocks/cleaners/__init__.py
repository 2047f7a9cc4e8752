"""Cleaners: weak labels that do not agree with frozen features of the strong model are replaced or left out. One file
each, a frozen config that cleans (plug-in group `w2s_ray.cleaners`). What a cleaner is stands in `contract.py`."""
