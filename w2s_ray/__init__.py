"""Weak-to-strong generalization experiments on Ray."""
