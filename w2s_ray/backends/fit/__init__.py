"""A model that is trained on one device: the loop, checkpoints, early stopping, several fits as one, linear probes."""
