# A job computes one variant. The key of its parameters, seeds, code and data is part of the path of its result: another key
# is another file, which is missing, so the job runs; and what was computed before stays. `update`, since Snakemake would
# otherwise delete a result before it runs the job again, as it does after it was killed beside a job that ended well.


rule experiment:
    input:
        lambda wildcards: datasets_of(JOBS[wildcards.job]),
    output:
        update(f"{FOLDER}/{{job}}/{{key}}/{{record}}.json"),
    log:
        f"{FOLDER}/{{job}}/{{key}}/{{record}}.log",
    threads: lambda wildcards: JOBS[wildcards.job].resources.threads
    resources:
        mem_mb=lambda wildcards: JOBS[wildcards.job].resources.memory_mb,
        runtime=lambda wildcards: max(
            10, int(4 * JOBS[wildcards.job].resources.minutes)
        ),
        gpu=lambda wildcards: JOBS[wildcards.job].resources.gpus,
    shell:
        "bnnbench run {wildcards.job:q} 2>&1 | tee {log:q}"
