"""The current GPU: whether kernels can run on it, and by which instructions."""

from functools import cache

from bnnbench.kernels.cuda.compile import MMA, WGMMA, arch_of, version

FORMS = {
    "AND": "b1 AND by mma.sync",
    "XOR": "b1 XOR by mma.sync",
    "BYTES": "int8 by mma.sync, since this chip emulates b1",
}


def probe() -> tuple[bool, str]:
    """Whether products can be computed on the current device, and how, or what is missing. Never raises."""
    try:
        import cupy

        # CuPy imports on any machine: only this says whether there is a driver and a device.
        if not cupy.cuda.is_available():
            return False, "no CUDA device, or no driver for it"
        version()
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        name = properties["name"].decode()
        capability = (properties["major"], properties["minor"])
    except Exception as error:  # a probe reports whatever the driver, CuPy or NVRTC raise
        return False, str(error)
    arch = arch_of(capability)
    if arch is None:
        return False, f"{name}: no kernels for compute capability {capability[0]}.{capability[1]}"
    return True, f"{name} ({arch}): {describe(arch)}"


def describe(arch: str) -> str:
    """How large products are computed on an architecture."""
    if arch in WGMMA:
        return "b1 AND by wgmma"
    return FORMS[str(MMA[arch]["FORM"])] if arch in MMA else "carry-save counting on CUDA cores"


@cache
def current_arch(device: int) -> str:
    """The architecture whose cubins the device `device` runs; raises `RuntimeError` where there is none."""
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(device)
    arch = arch_of((properties["major"], properties["minor"]))
    if arch is None:
        raise RuntimeError(f"no kernels for compute capability {properties['major']}.{properties['minor']}")
    return arch


@cache
def processors(device: int) -> int:
    """Multiprocessors of the device `device`."""
    import cupy

    return int(cupy.cuda.Device(device).attributes["MultiProcessorCount"])
