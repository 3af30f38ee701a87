# A job computes one variant. Its key covers parameters, seeds, code and data: when it changes, the job runs again.


rule experiment:
    input:
        lambda wildcards: datasets_of(JOBS[wildcards.job]),
    output:
        RESULT,
    log:
        f"{FOLDER}/{{job}}/log.txt",
    threads: lambda wildcards: JOBS[wildcards.job].resources.threads
    resources:
        mem_mb=lambda wildcards: JOBS[wildcards.job].resources.memory_mb,
        runtime=lambda wildcards: max(
            10, int(4 * JOBS[wildcards.job].resources.minutes)
        ),
        gpu=lambda wildcards: JOBS[wildcards.job].resources.gpus,
    params:
        key=lambda wildcards: JOBS[wildcards.job].key,
    shell:
        "bnnbench run {wildcards.job:q} 2>&1 | tee {log:q}"
