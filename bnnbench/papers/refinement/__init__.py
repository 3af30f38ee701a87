"""Posterior Refinement Improves Sample Efficiency in Bayesian Neural Networks (Kristiadi et al., NeurIPS 2022)."""
