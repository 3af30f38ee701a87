"""Posterior inference for neural networks: one module a method, one protocol for all.

A method sees tensors, not data sets, and knows nothing of experiments: `method.py` has the protocol of a method,
`posterior.py` that of what it returns. Methods are registered under the entry point `bnnbench.methods`.
"""
