"""What computes on a batch: pretrained models, their adapters and heads."""
