"""Implicit distributions of weights: generators, and the entropy of what they generate."""
