"""Numbers that say how good predictions are.

The functions take tensors of any floating type, on a CPU or a CUDA device. They sum in float64 and use no algorithm
that `torch.use_deterministic_algorithms` forbids. Error rate and accuracy are in percent; all other shares lie between
0 and 1. A NaN, an infinity, a wrong shape or a label that is no class raises a ValueError that names the argument.

The negative log-likelihood is not here: predictions have a `log_density` (`bnnbench.bayes.posterior`), which works with
logarithms, so that a probability that rounds to 0 does not give an infinite loss.
"""
