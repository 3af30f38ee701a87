"""Hierarchical Gaussian Process Priors for Bayesian Neural Network Weights (Karaletsos and Bui, NeurIPS 2020)."""
