"""The Python version of CIFAR, as torchvision downloads it: pickles, from which only arrays and text are read."""

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
    """A pickle can call whatever it names, so only the names that arrays need are allowed."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in HARMLESS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")
        return super().find_class(module, name)


def records(path: Path, count: int, pixels: int, labels: tuple[str, ...]) -> NDArray[np.uint8]:
    """The `count` records of a file, laid out as in the binary version: the columns `labels`, then the pixels.

    Returns uint8 [count, len(labels) + pixels]. Raises DataError for a file with anything else.
    """
    import numpy as np

    data = read_bytes(path)
    try:
        content = _Unpickler(io.BytesIO(data), encoding="bytes").load()
        images, columns = content[b"data"], [content[label.encode()] for label in labels]
        rows = np.column_stack([*(np.asarray(column, np.int64) for column in columns), images])
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(f"{path}: not a readable file of the Python version ({one_line(error)})") from None
    if images.dtype != np.uint8 or rows.shape != (count, len(labels) + pixels) or not _are_bytes(rows):
        expected = f"expected uint8 {(count, pixels)} and as many labels"
        raise DataError(f"{path}: holds {images.dtype} {images.shape}, {expected}")
    return rows.astype(np.uint8)


def _are_bytes(numbers: NDArray[np.int64]) -> bool:
    return bool(((numbers >= 0) & (numbers < 256)).all())
