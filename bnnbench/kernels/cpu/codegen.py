"""Register tiles as LLVM vector IR, three times as fast as loops that Numba vectorizes; one factory emits every shape.

A tile computes R rows x W vectors of outputs. One 64-bit word of a row is broadcast and compared with the words of
W * lanes columns that lie side by side, so there is no horizontal sum and no granularity beyond a word:

    acc[r][w] += popcount(a[r][k] ^ b[k][w])

A row is `planes` x `segments` x `length` words: one segment for a dense layer, a segment a tap row for a convolution;
the accumulators double between planes (Horner), which is how 8-bit inputs are multiplied.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
WORD_BYTES = 8
PREFETCH = (
    8192  # bytes that packing prefetches ahead, since prefetchers of processors stop at the end of a page of 4096
)
PANEL = 32  # columns of a weight panel

# a, a_row, a_segment, a_plane (bytes), planes, segments, length (words), b, columns, out, out_row (bytes), factor, flip
N_ARGUMENTS = 13


def tile(rows: int, vectors: int, lanes: int) -> Any:
    """An intrinsic that computes one tile: a tuple of int64 (addresses, strides in bytes) in the order listed above.

    `columns` is the address of int64 numbers, one a column. With factor > 0 the tile stores the int32 products
    `column - factor * mismatches`; with factor 0 it stores bits, `(mismatches <= column) ^ flip`.
    """

    def emit(builder: ir.IRBuilder, values: Sequence[ir.Value]) -> None:
        _Tile(builder, values, rows, vectors, lanes).emit()

    return intrinsic_of(emit, N_ARGUMENTS)


def pack_word(element: str) -> Any:
    """An intrinsic (address of 64 floats, address of a word) -> 1 if there was a NaN: bit i is x[i] >= 0."""
    kind = {"float32": ir.FloatType(), "float64": ir.DoubleType()}[element]

    def emit(builder: ir.IRBuilder, values: Sequence[ir.Value]) -> ir.Value:
        vector = ir.VectorType(kind, 64)
        x = _load(builder, values[0], vector, align=kind.get_abi_size(_data_layout()))
        zero = ir.Constant(vector, [0.0] * 64)
        for line in range(kind.get_abi_size(_data_layout())):  # 64 numbers of so many bytes: as many lines of 64
            _prefetch(builder, builder.add(values[0], I64(PREFETCH + 64 * line)))
        _store(builder, builder.bitcast(builder.fcmp_ordered(">=", x, zero), I64), values[1], 8)
        unordered = builder.bitcast(builder.fcmp_unordered("uno", x, x), I64)
        return builder.zext(builder.icmp_unsigned("!=", unordered, I64(0)), I64)

    return intrinsic_of(emit, 2, returns_int=True)


def planes_word() -> Any:
    """An intrinsic (address of 64 bytes, address of a word, bytes between planes): one word of each of eight planes."""

    def emit(builder: ir.IRBuilder, values: Sequence[ir.Value]) -> None:
        vector = ir.VectorType(I8, 64)
        x = _load(builder, values[0], vector, align=1)
        for plane in range(8):
            mask = ir.Constant(vector, [1 << (7 - plane)] * 64)
            set_ = builder.icmp_unsigned("!=", builder.and_(x, mask), ir.Constant(vector, [0] * 64))
            at = builder.add(values[1], builder.mul(values[2], I64(plane)))
            _store(builder, builder.bitcast(set_, I64), at, 8)

    return intrinsic_of(emit, 3)


def intrinsic_of(emit: Callable[..., Any], n: int, returns_int: bool = False) -> Any:
    """A Numba intrinsic that takes a tuple of `n` int64 and whose body `emit(builder, values)` writes."""
    result = types.int64 if returns_int else types.void

    def typing(typing_context: Any, arguments: Any) -> tuple[Any, Any]:
        signature = result(arguments)

        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> Any:
            unpacked = [builder.extract_value(values[0], index) for index in range(n)]
            made = emit(builder, unpacked)
            return context.get_dummy_value() if made is None else made

        return signature, codegen

    return intrinsic(typing)


def _data_layout() -> Any:
    from llvmlite.binding import Target

    return Target.from_default_triple().create_target_machine().target_data


def _prefetch(builder: ir.IRBuilder, address: ir.Value) -> None:
    pointer = I8.as_pointer()  # an address beyond the array is fine: a prefetch never faults
    kind = ir.FunctionType(ir.VoidType(), [pointer, I32, I32, I32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [builder.inttoptr(address, pointer), I32(0), I32(3), I32(1)])


def _load(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type, align: int) -> ir.Value:
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=align)


def _store(builder: ir.IRBuilder, value: ir.Value, address: ir.Value, align: int) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=align)


def splat(builder: ir.IRBuilder, value: ir.Value, lanes: int) -> ir.Value:
    """A vector of `lanes` copies of a word."""
    vector = ir.VectorType(I64, lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    mask = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    return builder.shuffle_vector(builder.insert_element(undefined, value, I32(0)), undefined, mask)


def popcount(builder: ir.IRBuilder, value: ir.Value, lanes: int) -> ir.Value:
    """The number of 1 bits of each lane."""
    vector = ir.VectorType(I64, lanes)
    function = ir.FunctionType(vector, [vector])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, f"llvm.ctpop.v{lanes}i64"), [value])


class Loop:
    """`for i in range(n)` with values carried from turn to turn."""

    def __init__(self, builder: ir.IRBuilder, n: ir.Value, carried: Sequence[ir.Value]) -> None:
        self.builder, self.n = builder, n
        before = builder.block
        self.head, self.body = builder.append_basic_block("head"), builder.append_basic_block("body")
        self.after = builder.append_basic_block("after")
        builder.branch(self.head)
        builder.position_at_end(self.head)
        self.i = builder.phi(I64)
        self.i.add_incoming(I64(0), before)
        self.values = [builder.phi(value.type) for value in carried]
        for phi, value in zip(self.values, carried, strict=True):
            phi.add_incoming(value, before)
        builder.cbranch(builder.icmp_signed("<", self.i, n), self.body, self.after)
        builder.position_at_end(self.body)

    def close(self, carried: Sequence[ir.Value]) -> list[ir.Value]:
        """Ends the turn with new carried values; code goes on after the loop."""
        end = self.builder.block
        self.i.add_incoming(self.builder.add(self.i, I64(1)), end)
        for phi, value in zip(self.values, carried, strict=True):
            phi.add_incoming(value, end)
        self.builder.branch(self.head)
        self.builder.position_at_end(self.after)
        return list(self.values)


class _Tile:
    """Emits one tile."""

    def __init__(self, builder: ir.IRBuilder, values: Sequence[ir.Value], rows: int, vectors: int, lanes: int) -> None:
        self.builder = builder
        self.rows, self.vectors, self.lanes = rows, vectors, lanes
        self.vector = ir.VectorType(I64, lanes)
        (self.a, self.a_row, self.a_segment, self.a_plane, self.planes, self.segments, self.length) = values[:7]
        (self.b, self.columns, self.out, self.out_row, self.factor, self.flip) = values[7:]

    def emit(self) -> None:
        accumulators = self._count()
        with self.builder.if_else(self.builder.icmp_signed("==", self.factor, I64(0))) as (bits, products):
            for branch, store in ((bits, self._store_bits), (products, self._store_products)):
                with branch:
                    for row in range(self.rows):
                        at = self.builder.add(self.out, self.builder.mul(self.out_row, I64(row)))
                        store(accumulators[row * self.vectors : (row + 1) * self.vectors], at)

    def _count(self) -> list[ir.Value]:
        """Mismatches of every output, over planes, segments and words."""
        builder = self.builder
        zero = ir.Constant(self.vector, [0] * self.lanes)
        one = ir.Constant(self.vector, [1] * self.lanes)
        planes = Loop(builder, self.planes, [zero] * (self.rows * self.vectors))
        doubled = [builder.shl(value, one) for value in planes.values]
        plane = builder.add(self.a, builder.mul(planes.i, self.a_plane))
        segments = Loop(builder, self.segments, [self.b, *doubled])
        segment = builder.add(plane, builder.mul(segments.i, self.a_segment))
        words = Loop(builder, self.length, segments.values)
        after_words = words.close(self._word(segment, words))
        after_segments = segments.close(after_words)
        return planes.close(after_segments[1:])

    def _word(self, segment: ir.Value, words: Loop) -> list[ir.Value]:
        builder = self.builder
        b, *accumulators = words.values
        step = self.lanes * WORD_BYTES
        weights = [_load(builder, builder.add(b, I64(w * step)), self.vector, 8) for w in range(self.vectors)]
        at = builder.add(segment, builder.mul(words.i, I64(WORD_BYTES)))
        added: list[ir.Value] = []
        for row in range(self.rows):
            word = _load(builder, builder.add(at, builder.mul(self.a_row, I64(row))), I64, 8)
            broadcast = splat(builder, word, self.lanes)
            for w in range(self.vectors):
                counts = popcount(builder, builder.xor(broadcast, weights[w]), self.lanes)
                added.append(builder.add(accumulators[row * self.vectors + w], counts))
        return [builder.add(b, I64(PANEL * WORD_BYTES)), *added]

    def _column(self, w: int) -> ir.Value:
        at = self.builder.add(self.columns, I64(w * self.lanes * WORD_BYTES))
        return _load(self.builder, at, self.vector, 8)

    def _store_products(self, counts: Sequence[ir.Value], at: ir.Value) -> None:
        builder = self.builder
        factor = splat(builder, self.factor, self.lanes)
        for w, count in enumerate(counts):
            product = builder.sub(self._column(w), builder.mul(factor, count))
            narrow = builder.trunc(product, ir.VectorType(I32, self.lanes))
            _store(builder, narrow, builder.add(at, I64(w * self.lanes * 4)), 4)

    def _store_bits(self, counts: Sequence[ir.Value], at: ir.Value) -> None:
        builder = self.builder
        width = ir.IntType(self.lanes * self.vectors)
        word = ir.Constant(width, 0)
        for w, count in enumerate(counts):
            below = builder.icmp_signed("<=", count, self._column(w))
            part = builder.zext(builder.bitcast(below, ir.IntType(self.lanes)), width)
            word = builder.or_(word, builder.shl(part, ir.Constant(width, w * self.lanes)))
        flipped = builder.xor(word, builder.trunc(self.flip, width))
        _store(builder, flipped, at, 1)
