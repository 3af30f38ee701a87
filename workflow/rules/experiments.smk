# A job computes one variant. Its key covers parameters, seeds, code and data: when it changes, the job runs again.


rule config:
    output:
        RESOLVED,
    log:
        f"{FOLDER}/logs/config.txt",
    params:
        content=CONFIG.model_dump_json(),
    shell:
        "printf '%s\n' {params.content:q} > {output:q} 2> {log:q}"


rule environment:
    output:
        ENVIRONMENT,
    log:
        f"{FOLDER}/logs/environment.txt",
    shell:
        "bnnbench environment {output:q} > {log:q} 2>&1"


rule experiment:
    input:
        config=ancient(RESOLVED),
        environment=ancient(ENVIRONMENT),
        datasets=lambda wildcards: ancient(
            [
                f"{FOLDER}/datasets/{name}.json"
                for name in JOBS[wildcards.job].datasets
                if not JOBS[wildcards.job].skip
            ]
        ),
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
        "bnnbench run {wildcards.job:q} --config {input.config:q} 2>&1 | tee {log:q}"
