"""Trackers that people have: a study's runs are written there as well. Nothing that is computed depends on them."""
