"""Rows as batches on a device: tokens, their order, padding, targets."""
