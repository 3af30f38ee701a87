"""The speed that this processor cannot exceed: the instructions of the inner loop are timed on registers alone."""

import time
from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from bnnbench.kernels.cpu.codegen import I64, Loop, intrinsic_of, popcount, splat
from bnnbench.kernels.cpu.compiled import compiled
from bnnbench.kernels.cpu.target import target
from bnnbench.kernels.packed import WORD

_CHAINS = 24 if target().lanes == 8 else 8


def _emit(builder: ir.IRBuilder, values: Sequence[ir.Value]) -> ir.Value:
    """`turns` times: every chain does acc += popcount(acc ^ word), as a tile does, and nothing is loaded."""
    lanes = target().lanes
    vector = ir.VectorType(I64, lanes)
    word = splat(builder, values[1], lanes)
    start = [ir.Constant(vector, [chain] * lanes) for chain in range(_CHAINS)]
    loop = Loop(builder, values[0], start)
    turned = [builder.add(acc, popcount(builder, builder.xor(acc, word), lanes)) for acc in loop.values]
    total, *rest = loop.close(turned)
    for chain in rest:
        total = builder.add(total, chain)
    return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))


_spin = intrinsic_of(_emit, 2, returns_int=True)


@compiled
def _turn(turns: int, word: int) -> Any:
    return _spin((turns, word))


def peak_ops(seconds: float = 0.05) -> float:
    """Most binary operations (a multiply or an add) per second of CPU time of one thread, the best of five runs."""
    turns = 20_000
    _turn(1, 1)
    while True:
        spent = _timed(turns)
        if spent > seconds / 5:
            break
        turns *= 2
    best = min(_timed(turns) for _ in range(5))
    return 2.0 * WORD * target().lanes * _CHAINS * turns / best


def _timed(turns: int) -> float:
    start = time.thread_time()
    _turn(turns, 0x5555555555555555)
    return time.thread_time() - start
