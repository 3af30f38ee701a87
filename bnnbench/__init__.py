"""bnnbench: reproduces, tracks and compares experiments on binarized and Bayesian neural networks."""

__version__ = "0.1.0"
