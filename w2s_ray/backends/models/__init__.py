"""Pretrained models, their adapters and heads."""
