"""Shared-memory order, fragments and descriptors of the tensor-core kernels against the tables of the PTX manual."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]
LANES = np.arange(32)


def slot(row: Array, chunk: Array | int) -> Array:
    """Chunk slot of a stage, as in `tile.cu`, for rows of eight chunks."""
    return row * 8 + (chunk ^ (row & 7))


def left_address(r0: int, k: int) -> Array:
    """What each lane gives to ldmatrix for 16 rows and 256 bits of the left operand, as in `mma.cu`."""
    return 16 * slot(r0 + LANES % 16, k + LANES // 16)


def right_address(c0: int, k: int) -> Array:
    """The same for 16 columns of the right operand."""
    return 16 * slot(c0 + LANES % 8 + LANES // 16 * 8, k + LANES // 8 % 2)


def ldmatrix4(stage: NDArray[np.uint8], address: Array) -> NDArray[np.uint32]:
    """Registers [4, 32]: of matrix i the row lane / 4, four bytes from 4 (lane % 4); lanes 8 i... give its rows."""
    at = address[8 * np.arange(4)[:, None] + LANES // 4] + 4 * (LANES % 4)
    registers: NDArray[np.uint32] = stage[at[..., None] + np.arange(4)].view(np.uint32)[..., 0]
    return registers


def stage_of(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bits [rows, 1024] in the order of a stage."""
    chunks = np.packbits(bits, axis=1, bitorder="little").reshape(len(bits), 8, 16)
    stage = np.zeros((8 * len(bits), 16), np.uint8)
    for chunk in range(8):
        stage[slot(np.arange(len(bits)), chunk)] = chunks[:, chunk]
    return stage.reshape(-1)


def register_bits(registers: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Bits [32 lanes, 32 * registers] of registers [n, 32], the element index i of the manual along the last axis."""
    return np.unpackbits(np.ascontiguousarray(registers.T).view(np.uint8), axis=1, bitorder="little")


# PTX manual, "Matrix fragments for mma.m16n8k256" with .b1: groupID = lane >> 2, threadID_in_group = lane % 4.
GROUP, THREAD = (LANES >> 2)[:, None], (LANES % 4)[:, None]
A_INDEX, B_INDEX, C_INDEX = np.arange(128), np.arange(64), np.arange(4)
A_ROW = np.where((A_INDEX < 32) | ((A_INDEX >= 64) & (A_INDEX < 96)), GROUP, GROUP + 8)
A_K = THREAD * 32 + (A_INDEX & 31) + np.where(A_INDEX < 64, 0, 128)
B_K = THREAD * 32 + (B_INDEX & 31) + np.where(B_INDEX < 32, 0, 128)
C_ROW = np.where(C_INDEX < 2, GROUP, GROUP + 8)
C_COLUMN = THREAD * 2 + (C_INDEX & 1)


def test_ldmatrix_gives_the_fragments_of_mma() -> None:
    bits = np.random.default_rng(0).integers(0, 2, (64, 1024), np.uint8)
    stage = stage_of(bits)
    for first in range(0, 64, 16):
        for k in range(0, 8, 2):
            a = register_bits(ldmatrix4(stage, left_address(first, k)))
            np.testing.assert_array_equal(a, bits[first + A_ROW, 128 * k + A_K])
            b = ldmatrix4(stage, right_address(first, k))
            for columns in (0, 8):  # registers 0, 1 are columns 0-7; 2, 3 columns 8-15
                fragment = register_bits(b[columns // 4 : columns // 4 + 2])
                np.testing.assert_array_equal(fragment, bits[first + columns + GROUP, 128 * k + B_K])


def test_a_warp_tile_reproduces_popcounts_and_packed_bits() -> None:
    rng = np.random.default_rng(1)
    left, right = rng.integers(0, 2, (16, 1024), np.uint8), rng.integers(0, 2, (64, 1024), np.uint8)
    limit, flip = rng.integers(505, 520, 64), rng.integers(0, 2, 64)
    stages = stage_of(left), stage_of(right)
    acc = np.zeros((8, 32, 4), np.int64)  # column fragment, lane, register
    for k in range(0, 8, 2):
        a, b = np.zeros((16, 256), np.int64), np.zeros((64, 256), np.int64)
        a[A_ROW, A_K] = register_bits(ldmatrix4(stages[0], left_address(0, k)))
        for j in range(0, 8, 2):
            both = ldmatrix4(stages[1], right_address(8 * j, k))
            for half in (0, 1):
                b[8 * (j + half) + GROUP, B_K] = register_bits(both[2 * half : 2 * half + 2])
        for j in range(8):
            acc[j] += (a @ b[8 * j : 8 * j + 8].T)[C_ROW, C_COLUMN]
    wrong = np.bitwise_count(np.packbits(left, axis=1)[:, None] ^ np.packbits(right, axis=1)).sum(
        axis=2, dtype=np.int64
    )
    ones = left.sum(axis=1, dtype=np.int64)[C_ROW] + right.sum(axis=1, dtype=np.int64).reshape(8, 1, 8)[:, 0, C_COLUMN]
    np.testing.assert_array_equal(ones - 2 * acc, wrong[C_ROW, 8 * np.arange(8)[:, None, None] + C_COLUMN])

    # `finish` in tile.cu: each lane sets its bits of two 32-bit words a row, the quad is OR-ed, flips come last.
    words = np.zeros((16, 2), np.int64)
    for j, lane, register in np.ndindex(8, 32, 4):
        column = 8 * j + 2 * (lane % 4) + register % 2
        p = (ones - 2 * acc)[j, lane, register]
        words[lane // 4 + register // 2 * 8, j // 4] |= int(p <= limit[column]) << (
            8 * (j % 4) + 2 * (lane % 4) + register % 2
        )
    flips = np.packbits(flip.astype(np.uint8), bitorder="little").view(np.uint32)
    expected = np.packbits((wrong <= limit) ^ (flip > 0), axis=1, bitorder="little").view(np.uint32)
    np.testing.assert_array_equal(words.astype(np.uint32) ^ flips, expected)


def test_the_swizzle_is_hoppers_and_free_of_bank_conflicts() -> None:
    for chunk in range(8):
        rows = np.arange(64)
        plain = 128 * rows + 16 * chunk
        # "128-byte swizzle": address bits 4-6 are changed by bits 7-9.
        np.testing.assert_array_equal(16 * slot(rows, chunk), plain ^ (plain >> 7 & 7) << 4)
    for k in range(0, 8, 2):
        for address in (left_address(16, k), right_address(16, k)):
            for matrix in address.reshape(4, 8):  # eight rows of 16 bytes at a time: all 32 banks, each once
                assert sorted(matrix // 16 % 8) == list(range(8))


def test_descriptor_fields() -> None:
    """Matrix descriptor of sm_90: address / 16, leading and stride byte offsets / 16, swizzle mode 1 (128 bytes)."""
    address = 128 * 1024 + 8192
    descriptor = (address & 0x3FFFF) >> 4 | 1 << 16 | 64 << 32 | 1 << 62
    assert (descriptor & 0x3FFF) << 4 == address
    assert (descriptor >> 32 & 0x3FFF) << 4 == 8 * 128  # eight rows of 128 bytes further
    assert descriptor >> 49 & 7 == 0  # stages start at multiples of 1024 bytes
    assert descriptor >> 62 == 1
    assert (descriptor + 2 & 0x3FFF) << 4 == address + 32  # 256 bits of K further
