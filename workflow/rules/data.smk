# Each data set is made available once, read whole and checked; a broken file stops the jobs that need it.


rule dataset:
    output:
        f"{FOLDER}/datasets/{{dataset}}-{{identity}}.json",
    log:
        f"{FOLDER}/logs/dataset-{{dataset}}-{{identity}}.txt",
    retries: 1
    shell:
        "bnnbench data verify {wildcards.dataset:q} --record {output:q} 2>&1 | tee {log:q}"
