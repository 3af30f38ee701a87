"""Kinds of arrays: NumPy, torch on the CPU or a GPU, CuPy. Results come back as the kind that was given."""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Kind:
    """How one kind of array is handed to kernels, which know NumPy (device cpu) and CuPy (device cuda) arrays.

    torch tensors share their memory with these; nothing is copied.
    """

    name: str
    device: str

    @property
    def xp(self) -> Any:
        """The module that makes native arrays: numpy or cupy."""
        if self.device == "cpu":
            return np
        import cupy

        return cupy

    def native(self, array: Any) -> Any:
        """The array as NumPy or CuPy, sharing memory."""
        if self.name != "torch":
            return array
        return array.detach().numpy() if self.device == "cpu" else self.xp.from_dlpack(array.detach())

    def real(self, argument: str, array: Any) -> Any:
        """Real numbers as a native array; bfloat16, which NumPy lacks, becomes float32, exactly."""
        if self.name == "torch" and str(array.dtype) == "torch.bfloat16":
            array = array.float()
        try:
            values = self.native(array)
        except (TypeError, RuntimeError, BufferError) as error:  # float8, sparse, meta tensors
            reason = " ".join(str(error).split())
            raise ValueError(
                f"{argument}: a tensor of this dtype or layout cannot be seen as numbers: {reason}"
            ) from error
        if values.dtype.kind not in "fiub":
            raise ValueError(f"{argument} is {values.dtype}; it must hold real numbers")
        return values

    def signed(self, argument: str, array: Any) -> Any:
        """Real numbers as a native array whose signs are `x >= 0`; booleans become +1 and -1.

        Raises `ValueError` for integers that have no signs: unsigned ones, and bits given as 0 and 1.
        """
        values = self.real(argument, array)
        way_out = "give bits as bool, or signs as -1 and +1"
        if values.dtype.kind == "b":
            return 2 * values.astype(np.int8) - 1
        if values.dtype.kind == "u":
            raise ValueError(f"{argument} is {values.dtype}, where every number would be +1; {way_out}")
        if values.dtype.kind == "i" and values.size and (int(values.min()), int(values.max())) in ((0, 0), (0, 1)):
            raise ValueError(f"{argument} holds integers 0 and 1 only, which would all be +1; {way_out}")
        return values

    def has_nan(self, values: Any) -> bool:
        """Whether floating-point values hold NaN."""
        return values.dtype.kind == "f" and bool(self.xp.isnan(values).any())

    def contiguous(self, array: Any) -> Any:
        """The native array in C order; an array that has that order is not copied."""
        return self.xp.ascontiguousarray(array)

    def host_native(self, native: Any) -> NDArray[Any]:
        """A NumPy array of the content of a native one."""
        return np.ascontiguousarray(native if self.device == "cpu" else native.get())

    def host_real(self, values: Any) -> NDArray[Any]:
        """A NumPy array of native values."""
        return np.asarray(values if self.device == "cpu" else values.get())

    def back(self, array: Any) -> Any:
        """A native array as this kind, sharing memory."""
        if self.name != "torch":
            return array
        import torch

        return torch.from_numpy(array) if self.device == "cpu" else torch.utils.dlpack.from_dlpack(array)

    def from_host(self, array: NDArray[Any]) -> Any:
        """A NumPy array as this kind, on its device."""
        return self.back(array if self.device == "cpu" else self.xp.asarray(array))


def kind_of(name: str, array: Any) -> Kind:
    """The kind of `array`; `TypeError`, which names the argument, for anything that is not an array."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; fill what is masked (.filled), since bits cannot be masked")
    if isinstance(array, np.ndarray):
        return Kind("numpy", "cpu")
    # A module that was never imported cannot have made the array, so none is imported here.
    torch, cupy = sys.modules.get("torch"), sys.modules.get("cupy")
    if torch is not None and isinstance(array, torch.Tensor):
        if array.device.type not in ("cpu", "cuda"):
            raise TypeError(f"{name} is a tensor on {array.device.type}; it must be on cpu or cuda")
        return Kind("torch", array.device.type)
    if cupy is not None and isinstance(array, cupy.ndarray):
        return Kind("cupy", "cuda")
    raise TypeError(f"{name} is a {type(array).__name__}; it must be a NumPy, torch or CuPy array")
