"""Posterior inference for neural networks: one module for each method, and one protocol for all.

A method sees tensors, not data sets, and knows nothing of experiments: `method.py` defines the protocol of
a method, and `posterior.py` that of the posterior it returns. Methods are registered under the entry point
`bnnbench.methods`.
"""
