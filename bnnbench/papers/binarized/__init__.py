"""Binarized Neural Networks (Hubara, Courbariaux, Soudry, El-Yaniv, Bengio, NeurIPS 2016)."""
