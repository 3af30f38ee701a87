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
        list(RESULTS.values()),  # named, so that one that is missing is computed even where later files are there
