"""Numbers that say how good predictions are.

Tensors of any floating type go in, on a CPU or a CUDA device; sums are taken in float64, and no algorithm is used that
`torch.use_deterministic_algorithms` forbids. Error rate and accuracy are in percent, all other shares between 0 and 1,
log-likelihoods in nats. A NaN, an infinity, a wrong shape or a label of no class is a ValueError that names the
argument.
"""
