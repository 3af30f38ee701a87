"""bnnbench: reproduces, tracks and compares experiments on binarized and Bayesian neural networks.

`fit`, `measure`, `reference`, `results` and `kernels` are loaded when they are asked for (`bnnbench/notebook.py`).
"""

from importlib import import_module as _import_module
from typing import Any as _Any

__version__ = "0.1.0"
NOTEBOOK = "bnnbench.notebook"
__all__ = ["fit", "kernels", "measure", "reference", "results"]


def __getattr__(name: str) -> _Any:
    # By name and not by an import statement: a job's key covers what its modules import, and all import this one.
    if name not in __all__:
        raise AttributeError(f"module 'bnnbench' has no attribute {name!r}")
    return (
        _import_module("bnnbench.kernels") if name == "kernels" else getattr(_import_module("bnnbench.notebook"), name)
    )


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
