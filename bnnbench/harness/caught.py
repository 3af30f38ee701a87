"""Warnings meant for the readers of a result, collected while it is computed."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bnnbench.errors import ResultWarning


@contextmanager
def result_warnings() -> Iterator[list[str]]:
    """Collects the text of every `ResultWarning`, each once; other warnings are shown as usual."""
    texts: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", ResultWarning)
        show = warnings.showwarning

        def keep(message: Any, category: Any, *about: Any, **more: Any) -> None:
            if not issubclass(category, ResultWarning):
                show(message, category, *about, **more)
            elif str(message) not in texts:
                texts.append(str(message))

        warnings.showwarning = keep
        yield texts


def warn_again(texts: list[str]) -> None:
    """Emits warnings that were caught earlier, so that an enclosing `result_warnings` collects them too."""
    for text in texts:
        warnings.warn(text, ResultWarning, stacklevel=2)
