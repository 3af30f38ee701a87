# Kernel timings: the rule takes every core, so nothing else runs beside a measurement.
BENCHMARKS = Path(workflow.basedir) / "tests" / "benchmarks" / "test_kernel_speed.py"
TIMINGS = f"{FOLDER}/kernels/benchmarks.json"


rule kernels:
    input:
        BENCHMARKS,
    output:
        TIMINGS,
    log:
        f"{FOLDER}/logs/kernels.txt",
    threads: max(workflow.cores or 1, 1)
    params:
        code=folder_hash("bnnbench.kernels"),
    shell:
        "python -m pytest {input:q} --rootdir {workflow.basedir:q} --benchmark --benchmark-json {output:q}"
        " -q --no-header -p no:cacheprovider 2>&1 | tee {log:q}"


def timings():
    """The timings, where the configuration asks for them and this checkout has the benchmarks."""
    return [TIMINGS] if CONFIG.times_kernels() and BENCHMARKS.exists() else []
