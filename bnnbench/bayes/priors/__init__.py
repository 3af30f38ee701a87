"""Families of priors: their parameters, which a plan checks without torch, and their definition in NumPyro.

`mixture.py` holds the parameters, `scale_mixture.py` the one definition that sampling, log density and NUTS use,
`distributions.py` what NumPyro lacks, `shrinkage.py` the closed forms of what these priors do to a weight.
"""
