"""Loops over tiles: rows times weight panels, compiled by Numba and cached on disk."""

from typing import Any

from bnnbench.kernels.cpu.codegen import PANEL, WORD_BYTES, tile
from bnnbench.kernels.cpu.compiled import compiled
from bnnbench.kernels.cpu.target import target

_LANES, _VECTORS, _ROWS = target().lanes, target().vectors, target().rows
_WIDTH = target().width

# A tail of rows has a tile of its own, instead of single rows repeated. Sizes above the full tile are not used.
_1, _2, _3, _4, _5, _6 = (tile(min(rows, _ROWS), _VECTORS, _LANES) for rows in range(1, 7))


@compiled
def _tile(rows: int, arguments: Any) -> None:
    if rows == 6:
        _6(arguments)
    elif rows == 5:
        _5(arguments)
    elif rows == 4:
        _4(arguments)
    elif rows == 3:
        _3(arguments)
    elif rows == 2:
        _2(arguments)
    else:
        _1(arguments)


@compiled
def run(
    a: int,
    shape: Any,
    rows: int,
    panels: int,
    panel_bytes: int,
    columns: int,
    flips: Any,
    out: int,
    out_row: int,
    factor: int,
    n: int,
    products: Any,
    scratch: Any,
) -> None:
    """All panels for `rows` rows that lie `shape[0]` bytes apart from address `a`.

    shape: a_row, a_segment, a_plane (bytes), planes, segments, length (words). factor 0 writes bits at address `out`,
    `out_row` bytes a row. Otherwise int32 products go to `out`, which is the start of `products` [rows, n]; the columns
    of a last, partly filled panel go through `scratch` [6, 32].
    """
    a_row, a_segment, a_plane, planes, segments, length = shape
    element = 0 if factor == 0 else 4
    for panel in range(len(flips)):
        whole = (panel + 1) * PANEL <= n
        for row in range(0, rows, _ROWS):
            many = min(_ROWS, rows - row)
            for start in range(0, PANEL, _WIDTH):
                column = panel * PANEL + start
                if factor == 0:
                    at, step = out + row * out_row + column // 8, out_row
                elif whole:
                    at, step = out + row * out_row + column * element, out_row
                else:
                    at, step = scratch.ctypes.data + start * element, PANEL * element
                b = panels + panel * panel_bytes + start * WORD_BYTES
                at_columns = columns + column * WORD_BYTES
                flip = flips[panel] >> start
                at_row = a + row * a_row
                source = (at_row, a_row, a_segment, a_plane, planes, segments, length, b)
                _tile(many, (*source, at_columns, at, step, factor, flip))
            if factor != 0 and not whole:
                for r in range(many):
                    for c in range(n - panel * PANEL):
                        products[row + r, panel * PANEL + c] = scratch[r, c]


@compiled
def rows_times_panels(
    a: int,
    shape: Any,
    first: int,
    last: int,
    block: int,
    panels: int,
    panel_bytes: int,
    columns: int,
    flips: Any,
    out: int,
    out_row: int,
    factor: int,
    n: int,
    products: Any,
    scratch: Any,
) -> None:
    """`run` over rows first..last in blocks that stay in the cache while the panels pass by."""
    for start in range(first, last, block):
        many = min(block, last - start)
        at, to = a + start * shape[0], out + start * out_row
        part = products[start : start + many] if factor != 0 else products
        run(at, shape, many, panels, panel_bytes, columns, flips, to, out_row, factor, n, part, scratch)


@compiled
def conv_rows(
    a: int,
    shape: Any,
    image_bytes: int,
    line_bytes: int,
    runs: Any,
    first: int,
    last: int,
    lines: int,
    panels: int,
    panel_bytes: int,
    columns: int,
    column_bytes: int,
    flips: Any,
    out: int,
    out_row: int,
    factor: int,
    n: int,
    products: Any,
    scratch: Any,
) -> None:
    """Output lines first..last of a batch. A line is computed in runs of pixels of one class, and no patch is copied.

    runs [lines, n_runs, 3]: first pixel, pixels, class. The rows of a run are overlapping windows, `shape[0]` bytes
    apart.
    """
    width = 0
    for r in range(runs.shape[1]):
        width += runs[0, r, 1]
    for line in range(first, last):
        image, y = line // lines, line % lines
        base = a + image * image_bytes + y * line_bytes
        for r in range(runs.shape[1]):
            x, pixels, kind = runs[y, r]
            row = line * width + x
            part = products[row : row + pixels] if factor != 0 else products
            run(
                base + x * shape[0],
                shape,
                pixels,
                panels,
                panel_bytes,
                columns + kind * column_bytes,
                flips,
                out + row * out_row,
                out_row,
                factor,
                n,
                part,
                scratch,
            )
