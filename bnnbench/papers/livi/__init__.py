"""Implicit Variational Inference for High-Dimensional Posteriors (Uppal et al., NeurIPS 2023)."""
