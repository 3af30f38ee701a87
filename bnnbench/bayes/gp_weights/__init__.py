"""Gaussian-process priors over the weights of a net, and their variational inference (Karaletsos and Bui 2020)."""
