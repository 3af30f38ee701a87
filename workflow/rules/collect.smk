# Results become tables; from here on nothing looks at a result again.


rule collect:
    input:
        config=ancient(RESOLVED),
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
    shell:
        "bnnbench collect {wildcards.paper:q}/{wildcards.experiment:q} --config {input.config:q} > {log:q} 2>&1"


rule table:
    input:
        config=ancient(RESOLVED),
        tables=collected(EXPERIMENTS),
    output:
        f"{FOLDER}/results.parquet",
    log:
        f"{FOLDER}/logs/table.txt",
    shell:
        "bnnbench table --config {input.config:q} > {log:q} 2>&1"


rule claims:
    input:
        config=ancient(RESOLVED),
        tables=lambda wildcards: collected(of_paper(wildcards.paper)),
    output:
        f"{FOLDER}/claims/{{paper}}.json",
    log:
        f"{FOLDER}/logs/claims-{{paper}}.txt",
    params:
        code=lambda wildcards: code_hash(
            f"{papers.get(wildcards.paper).package}.claims"
        ),
    shell:
        "bnnbench claims {wildcards.paper:q} --config {input.config:q} > {log:q} 2>&1"
