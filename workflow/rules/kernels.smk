# Kernel timings: the rule takes every core, so nothing else runs beside a measurement.


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
        "python -m pytest {input:q} -m 'not slow' --benchmark --benchmark-json {output:q}"
        " -q --no-header -p no:cacheprovider 2>&1 | tee {log:q}"
