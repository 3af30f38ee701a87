"""A sequence of layers as one launch: small batches are bound by launches, not by arithmetic."""

from collections.abc import Callable, Sequence
from typing import Any


class Graph:
    """Layers captured in a CUDA graph for inputs of one shape.

    input: the array that the graph reads. output: the array that it writes, overwritten by the next call.
    """

    def __init__(self, layers: Sequence[Callable[[Any], Any]], example: Any) -> None:
        """Captures `layers`, each a function from device array to device array, for inputs like `example`."""
        import cupy

        # Captured addresses stay in use, so they come from a pool that belongs to the graph alone.
        self._pool = cupy.cuda.MemoryPool()
        stream = cupy.cuda.Stream(non_blocking=True)
        cupy.cuda.get_current_stream().synchronize()
        with cupy.cuda.using_allocator(self._pool.malloc), stream:
            self.input = example.copy()
            _through(layers, self.input)  # compiles, and fills the pool: nothing may be allocated while capturing
            stream.synchronize()
            stream.begin_capture()
            self.output = _through(layers, self.input)
            self._graph = stream.end_capture()

    def __call__(self, x: Any) -> Any:
        """The layers' output for `x`, on the current stream."""
        import cupy

        self.input[...] = x
        self._graph.launch(cupy.cuda.get_current_stream())
        return self.output


def _through(layers: Sequence[Callable[[Any], Any]], x: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x
