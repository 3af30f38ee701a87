"""The CPU backend: popcount kernels emitted as vector IR through Numba, for whatever width this processor has."""
