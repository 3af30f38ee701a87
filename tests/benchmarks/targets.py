"""What the timings of kernels are held against; a benchmark writes those of its group into its file.

Targets are ours (docs/kernels.md). Published speed-ups are those of Hubara et al. (2016) on a GTX 750 GPU.
"""

from typing import Any

GEMM = ("gemm 1024", "gemm 2048", "gemm 4096")
MLP = ("mlp, batch 1", "mlp, batch 64", "mlp, batch 1000")
CONV = ("conv 128-128 @32, batch 32", "conv 256-256 @16, batch 32", "conv 512-512 @8, batch 32")
PACK = ("pack 1024 x 1024 float32", "pack 4096 x 4096 float32")
INT8 = "oneDNN int8, prepacked"
GPU_GEMM, GPU_MLP = ("gpu gemm 8192",), ("gpu mlp, batch 10000",)

# Name, statement, groups, at least, peer (none: share of the limit), candidate.
TARGETS: tuple[tuple[str, str, tuple[str, ...], float, str, str], ...] = (
    ("C1", "fused product, share of the limit", GEMM, 0.8, "", "ours"),
    ("C2", "int32 product, share of the limit", GEMM[1:], 0.7, "", "ours, int32"),
    ("C3", "fused product against torch float32", GEMM, 10, "torch float32", "ours"),
    ("C4", "fused product against torch bfloat16", GEMM[1:], 2, "torch bfloat16", "ours"),
    ("C4", "fused product against torch._int_mm", GEMM[1:], 2, "torch _int_mm", "ours"),
    ("C5", "fused product against prepacked oneDNN int8", ("linear 4096 x 4096, batch 1",), 5, INT8, "ours"),
    ("C5", "fused product against prepacked oneDNN int8", ("linear 4096 x 4096, batch 64",), 2, INT8, "ours"),
    ("C5", "fused product against prepacked oneDNN int8", ("gemm 4096",), 1.1, INT8, "ours"),
    ("C6", "MLP against torch float32", MLP, 9, "torch float32", "ours"),
    ("C6", "MLP against torch._int_mm", MLP, 3, "torch _int_mm", "ours"),
    ("C7", "convolutions against torch float32", CONV, 10, "torch float32", "ours"),
    ("C7", "convolutions against torch bfloat16", CONV, 1.2, "torch bfloat16", "ours"),
    ("C8", "packing against numpy.packbits", PACK, 1.4, "numpy.packbits", "ours"),
    ("C9", "restricted to AVX2, against torch float32", ("AVX2 only, gemm 2048",), 5, "torch float32, AVX2", "ours"),
    ("C10", "against larq-compute-engine", ("two conv 256-256 @16, batch 1",), 10, "larq-compute-engine", "ours"),
    ("G-lim", "fused product on the GPU, share of its b1 limit", GPU_GEMM, 0.75, "", "ours"),
    ("G-fp32", "fused product on the GPU against cuBLAS float32", GPU_GEMM, 70, "cuBLAS float32", "ours"),
    ("G-tf32", "fused product on the GPU against cuBLAS TF32", GPU_GEMM, 10, "cuBLAS TF32", "ours"),
    ("G-fp16", "fused product on the GPU against cuBLAS float16", GPU_GEMM, 5, "cuBLAS float16", "ours"),
    ("G-int8", "fused product on the GPU against cuBLASLt int8", GPU_GEMM, 2.5, "cuBLASLt int8", "ours"),
    ("G-paper", "fused product on the GPU against naive float", GPU_GEMM, 1000, "naive float", "ours"),
    ("G-paper", "fused product on the GPU against naive xnor", GPU_GEMM, 25, "naive xnor", "ours"),
    ("G-mlp", "MLP on the GPU against float16", GPU_MLP, 3, "cuBLAS float16", "ours"),
    ("G-mlp", "MLP on the GPU against float32", GPU_MLP, 30, "cuBLAS float32", "ours"),
)

# What, published, group, slow candidate, fast candidate.
PUBLISHED = (
    ("xnor over an equally naive float kernel", "23x", "naive 1024", "naive float", "naive xnor"),
    ("naive xnor over the library's float32 product", "3.4x", "naive 1024", "torch float32", "naive xnor"),
    ("ours over the library's float32 product", "3.4x", "gemm 4096", "torch float32", "ours"),
    ("MNIST MLP over float32", "7x", "mlp, batch 1000", "torch float32", "ours"),
)


def held_against(group: str) -> dict[str, list[dict[str, Any]]]:
    """The targets and the published speed-ups of a group of timings, as its file keeps them."""
    targets = [
        {"name": name, "statement": statement, "bound": bound, "peer": peer, "candidate": candidate}
        for name, statement, groups, bound, peer, candidate in TARGETS
        if group in groups
    ]
    published = [
        {"what": what, "value": value, "slow": slow, "fast": fast}
        for what, value, of, slow, fast in PUBLISHED
        if group == of
    ]
    return {"targets": targets, "published": published}
