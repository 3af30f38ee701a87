# The entry of the workflow: what to reproduce comes from config/, the jobs from bnnbench, the rules from workflow/.


configfile: "config/config.yaml"


container: "docker://python:3.11-slim"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/experiments.smk"
include: "workflow/rules/kernels.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        REPORT,
        TRACKED,
        # Everything is named, so that what is missing is made even where later files are there.
        list(RESULTS.values()),
        collected(EXPERIMENTS),
        [f"{FOLDER}/claims/{paper}.json" for paper in PAPERS],
        [path for paper in PAPERS for path in drawn(paper)],
        [f"{FOLDER}/report/{paper}.html" for paper in PAPERS],
        f"{FOLDER}/results.parquet",
