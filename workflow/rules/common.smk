# The plan: the validated configuration expanded into jobs. Every rule builds on it and on nothing else.
import os
import sys
from pathlib import Path

from bnnbench.errors import UserError
from bnnbench.harness import collect as tables
from bnnbench.harness import config as configuration
from bnnbench.harness import drawing, files
from bnnbench.harness import paper as papers
from bnnbench.harness import plan as planning
from bnnbench.harness.code import code_hash

# `bnnbench` of the environment that runs this snakemake, activated or not.
shell.prefix(f"set -euo pipefail; PATH='{Path(sys.executable).parent}':$PATH; ")


def stop(message):
    """Ends with one line; an exception here would print a traceback of Snakemake's."""
    print(f"bnnbench: {message}", file=sys.stderr, flush=True)
    os._exit(1)


try:
    SOURCE = " + ".join(map(str, workflow.configfiles)) or "the command line"
    CONFIG = configuration.validate(config, SOURCE)
    PLAN = planning.make(CONFIG, SOURCE)
    FIGURES = {paper: drawing.figures(paper) for paper in PLAN.papers()}
except UserError as error:
    stop(error)

JOBS = {job.id: job for job in PLAN.jobs}
EXPERIMENTS = tables.experiments(PLAN)
PAPERS = PLAN.papers()
FOLDER = str(CONFIG.folder())
RESOLVED = f"{FOLDER}/config.yaml"
ENVIRONMENT = f"{FOLDER}/environment.json"
RESULT = f"{FOLDER}/{{job}}/result.json"
REPORT = f"{FOLDER}/report/index.html"
REPORT_CODE = code_hash("bnnbench.report.page")
TRACKED = f"{FOLDER}/tracked.json"


# Snakemake's own lock outlives a killed Snakemake; this one ends with its process. The profile turns the other one off.
onstart:
    try:
        files.acquire(CONFIG.results / ".workflow.lock", wait=False)
    except BlockingIOError:
        stop(
            f"another snakemake is at work in {CONFIG.results}; wait for it or give this one another `results` folder"
        )
    except UserError as error:
        stop(error)


def collected(names):
    """Tables of those of the experiments (`paper/experiment`) that this plan runs."""
    return [
        f"{FOLDER}/collected/{name}/results.parquet"
        for name in names
        if name in EXPERIMENTS
    ]


def of_paper(paper):
    return [name for name in EXPERIMENTS if name.startswith(f"{paper}/")]


def results_of(name):
    return [
        f"{FOLDER}/{job.id}/result.json"
        for job in PLAN.jobs
        if f"{job.paper}/{job.experiment}" == name
    ]


def drawn(paper):
    return [f"{FOLDER}/figures/{paper}/{name}.svg" for name in FIGURES[paper]]


wildcard_constraints:
    paper="[^/]+",
    experiment="[^/]+",
    figure="[^/]+",
    job="[^/]+/[^/]+/[^/]+",
