"""A model that is asked: features, likelihoods, answers, classes, without gradients."""
