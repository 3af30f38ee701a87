"""CUDA kernels for binary products: sources, their compilation without a device, and the operations on CuPy arrays."""
