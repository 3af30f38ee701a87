"""Binarized networks: the sign and its straight-through gradient, layers, loss, and what keeps training stable."""
