# Figures, the report and the tracked runs; and one target a paper and a figure.


rule figure:
    input:
        tables=lambda wildcards: collected(
            FIGURES[wildcards.paper][wildcards.figure].experiments
        ),
    output:
        f"{FOLDER}/figures/{{paper}}/{{figure}}.svg",
    log:
        f"{FOLDER}/logs/figure-{{paper}}-{{figure}}.txt",
    params:
        code=lambda wildcards: MACHINERY
        + code_hash(f"{papers.get(wildcards.paper).package}.figures"),
    shell:
        "bnnbench figure {wildcards.paper:q} {wildcards.figure:q} 2>&1 | tee {log:q}"


rule page:
    input:
        tables=lambda wildcards: collected(of_paper(wildcards.paper)),
        claims=f"{FOLDER}/claims/{{paper}}.json",
        figures=lambda wildcards: drawn(wildcards.paper),
    output:
        f"{FOLDER}/report/{{paper}}.html",
    log:
        f"{FOLDER}/logs/page-{{paper}}.txt",
    params:
        code=MACHINERY,
        about=lambda wildcards: about(wildcards.paper),
    shell:
        "bnnbench report {wildcards.paper:q} --no-refresh 2>&1 | tee {log:q}"


rule report:
    input:
        pages=expand(f"{FOLDER}/report/{{paper}}.html", paper=PAPERS),
        table=f"{FOLDER}/results.parquet",
        timings=timings(),
    output:
        REPORT,
    log:
        f"{FOLDER}/logs/report.txt",
    params:
        code=MACHINERY,
    shell:
        "bnnbench report --index --no-refresh 2>&1 | tee {log:q}"


rule track:
    input:
        results=list(RESULTS.values()),
        figures=[path for paper in PAPERS for path in drawn(paper)],
    output:
        TRACKED,
    log:
        f"{FOLDER}/logs/track.txt",
    shell:
        "bnnbench track --stamp {output:q} 2>&1 | tee {log:q}"


for paper in PAPERS:

    rule:
        name:
            paper
        input:
            f"{FOLDER}/report/{paper}.html",
            [path for name in of_paper(paper) for path in results_of(name)],

    for figure in FIGURES[paper]:

        rule:
            name:
                f"{paper}_{figure}"
            input:
                f"{FOLDER}/figures/{paper}/{figure}.svg",


# The report of a run in which a job failed: everything else is there, and the failure is named.
onerror:
    if not workflow.dryrun:
        shell("bnnbench report")
