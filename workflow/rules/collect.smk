# Results become tables; from here on nothing looks at a result again.


rule collect:
    input:
        results=lambda wildcards: results_of(
            f"{wildcards.paper}/{wildcards.experiment}"
        ),
    output:
        multiext(
            f"{FOLDER}/collected/{{paper}}/{{experiment}}/",
            "results.parquet",
            "jobs.parquet",
            "history.parquet",
        ),
    log:
        f"{FOLDER}/logs/collect-{{paper}}-{{experiment}}.txt",
    params:
        code=MACHINERY,
    shell:
        "bnnbench collect {wildcards.paper:q}/{wildcards.experiment:q} 2>&1 | tee {log:q}"


rule table:
    input:
        tables=collected(EXPERIMENTS),
        timings=timings(),
    output:
        f"{FOLDER}/results.parquet",
    log:
        f"{FOLDER}/logs/table.txt",
    shell:
        "bnnbench table 2>&1 | tee {log:q}"


rule claims:
    input:
        tables=lambda wildcards: collected(of_paper(wildcards.paper)),
    output:
        f"{FOLDER}/claims/{{paper}}.json",
    log:
        f"{FOLDER}/logs/claims-{{paper}}.txt",
    params:
        code=lambda wildcards: MACHINERY
        + code_hash(f"{papers.get(wildcards.paper).package}.claims", optional=True),
    shell:
        "bnnbench claims {wildcards.paper:q} 2>&1 | tee {log:q}"
