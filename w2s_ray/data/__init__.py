"""Rows: where they come from (sources), what they ask (formats), who sees which (splits), and all of it together
(`prepare`).

Needs core and config alone; `datasets` and `pyarrow` are imported when a source of theirs is opened.
"""
