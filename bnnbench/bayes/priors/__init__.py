"""Families of priors: their parameters, which can be checked without torch, and their definition in NumPyro.

`mixture.py` holds the parameters; `scale_mixture.py` the one definition that sampling, log density and NUTS use;
`distributions.py` the distributions that NumPyro lacks; and `shrinkage.py` closed forms of how these priors shrink a
weight.
"""
