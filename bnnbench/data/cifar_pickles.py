"""The Python version of CIFAR, which torchvision downloads: pickles, of which arrays and texts alone are unpickled."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnnbench.data.files import one_line, read_bytes
from bnnbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HARMLESS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


class _Unpickler(pickle.Unpickler):
    """A pickle may call whatever it names, so it may name nothing but what arrays are made with."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in HARMLESS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")
        return super().find_class(module, name)


def records(path: Path, count: int, pixels: int, labels: tuple[str, ...]) -> NDArray[np.uint8]:
    """The `count` records of a file as rows of the binary version: the `labels` that it names, then the pixels.

    uint8 [count, len(labels) + pixels]; DataError for anything else.
    """
    import numpy as np

    data = read_bytes(path)
    try:
        content = _Unpickler(io.BytesIO(data), encoding="bytes").load()
        images, columns = content[b"data"], [content[label.encode()] for label in labels]
        found = np.column_stack([*(np.asarray(column, np.int64) for column in columns), images])
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(f"{path}: not a readable file of the Python version ({one_line(error)})") from None
    if images.dtype != np.uint8 or found.shape != (count, len(labels) + pixels) or not _are_bytes(found):
        expected = f"expected uint8 {(count, pixels)} and as many labels"
        raise DataError(f"{path}: holds {images.dtype} {images.shape}, {expected}")
    return found.astype(np.uint8)


def _are_bytes(numbers: NDArray[np.int64]) -> bool:
    return bool(((numbers >= 0) & (numbers < 256)).all())
