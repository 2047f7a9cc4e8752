"""Inference, without gradients: features, likelihoods, answers, class probabilities."""
