"""Whether this machine has a GPU that CuPy can use."""


def probe() -> tuple[bool, str]:
    """Availability and what is used or missing; never raises."""
    import cupy

    if not cupy.cuda.is_available():
        return False, "no CUDA device"
    return True, f"compute capability {cupy.cuda.Device().compute_capability}"
