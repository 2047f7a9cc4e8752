"""Where models live: the training loop, linear probes, and what they need (tokens, batches, checkpoints). Heavy imports
are at home here and nowhere else.

Knows nothing of Ray, of steps or of the store: it is given rows, labels, a recipe and places for files, and gives back
something that predicts.
"""
