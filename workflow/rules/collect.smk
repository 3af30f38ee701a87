# Results become tables; from here on nothing looks at a result again.


rule collect:
    input:
        config=ancient(RESOLVED),
        results=lambda wildcards: results_of(f"{wildcards.paper}/{wildcards.experiment}"),
    output:
        multiext(f"{FOLDER}/collected/{{paper}}/{{experiment}}/", "results.parquet", "jobs.parquet", "history.parquet"),
    shell:
        "bnnbench collect {wildcards.paper:q}/{wildcards.experiment:q} --config {input.config:q}"


rule table:
    input:
        config=ancient(RESOLVED),
        tables=collected(EXPERIMENTS),
    output:
        f"{FOLDER}/results.parquet",
    shell:
        "bnnbench table --config {input.config:q}"


rule claims:
    input:
        config=ancient(RESOLVED),
        tables=lambda wildcards: collected(of_paper(wildcards.paper)),
    output:
        f"{FOLDER}/claims/{{paper}}.json",
    params:
        code=lambda wildcards: code_hash(f"{papers.get(wildcards.paper).package}.claims"),
    shell:
        "bnnbench claims {wildcards.paper:q} --config {input.config:q}"
