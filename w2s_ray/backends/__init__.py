"""Models: the training loop, linear probes, and what they need (tokens, batches, checkpoints). Heavy imports (torch,
transformers) are made here and nowhere else.

Independent of Ray, of steps and of the store: it takes rows, labels, a recipe and places for files, and returns
something that predicts.
"""
