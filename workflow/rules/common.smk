# The plan: the validated configuration expanded into jobs. Every rule builds on it and on nothing else.
import hashlib
import os
import re
import sys
from pathlib import Path
from shlex import quote

from bnnbench.errors import UserError
from bnnbench.harness import collect as tables
from bnnbench.harness import config as configuration
from bnnbench.harness import data, drawing, files, mend
from bnnbench.harness import paper as papers
from bnnbench.harness import plan as planning
from bnnbench.harness.code import code_hash, folder_hash


def stop(message):
    """Ends with one line; an exception here would print a traceback of Snakemake's."""
    print(f"bnnbench: {message}", file=sys.stderr, flush=True)
    os._exit(1)


# The default file comes first: those that --configfile gives change what they name, and --config changes them.
GIVEN = list(workflow.overwrite_configfiles)
CONFIG_FILES = [path for path in workflow.configfiles if path not in GIVEN] + GIVEN
SOURCE = " + ".join(map(str, CONFIG_FILES)) or "the command line"


try:
    CONFIG = configuration.load_for_workflow(
        map(Path, CONFIG_FILES), workflow.config_settings.config_args or [], SOURCE
    )
    PLAN = planning.make(CONFIG, SOURCE)
    files.check_folder(CONFIG.folder())
    if not workflow.dryrun:
        for text in mend.mend(PLAN):
            print(f"bnnbench: {text}", file=sys.stderr)
    FIGURES = {paper: drawing.figures(paper) for paper in PLAN.papers()}
except UserError as error:
    stop(error)

JOBS = {job.id: job for job in PLAN.jobs}
EXPERIMENTS = tables.experiments(PLAN)
PAPERS = PLAN.papers()
FOLDER = str(CONFIG.folder())
RESULTS = {job.id: str(PLAN.result(job)) for job in PLAN.jobs}
REPORT = f"{FOLDER}/report/index.html"
MACHINERY = folder_hash("bnnbench.harness") + folder_hash("bnnbench.report")
TRACKED = f"{FOLDER}/tracked.json"
BENCHMARKS = [
    Path(workflow.basedir) / "tests" / "benchmarks" / name
    for name in ("test_kernel_speed.py", "test_gpu_speed.py")
]
TIMINGS = f"{FOLDER}/kernels/benchmarks.json"


# Jobs use the `bnnbench` of the environment that runs this snakemake, activated or not, and this very configuration.
shell.prefix(
    f"set -euo pipefail; export PATH={quote(str(Path(sys.executable).parent))}:$PATH "
    f"BNNBENCH_CONFIG={quote(CONFIG.model_dump_json())}; ".replace("{", "{{").replace(
        "}", "}}"
    )
)


# Snakemake's own lock outlives a killed Snakemake; this one ends with its process. The profile turns the other one off.
onstart:
    try:
        files.acquire(CONFIG.lock(), wait=False)
    except BlockingIOError:
        stop(
            f"another snakemake is at work in {CONFIG.results}; wait for it or give this one another `results` folder"
        )
    except UserError as error:
        stop(error)


def collected(names):
    """Tables of those of the experiments (`paper/experiment`) that this plan runs."""
    return [
        f"{FOLDER}/collected/{name}/{table}.parquet"
        for name in names
        if name in EXPERIMENTS
        for table in tables.TABLES
    ]


def of_paper(paper):
    return [name for name in EXPERIMENTS if name.startswith(f"{paper}/")]


def results_of(name):
    return [
        RESULTS[job.id] for job in PLAN.jobs if f"{job.paper}/{job.experiment}" == name
    ]


def record_of(name):
    return str(data.record_path(CONFIG, name, PLAN.data[name].identity))


def datasets_of(job):
    return [] if job.skip else [record_of(name) for name in job.datasets]


def about(paper):
    """What the page of a paper says beyond its results: title, deviations, published numbers."""
    sources = [
        papers.get(paper).folder / name for name in ("paper.yaml", "published.csv")
    ]
    text = b"".join(path.read_bytes() for path in sources if path.exists())
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def timings():
    """The timings, where the configuration asks for them and this checkout has the benchmarks."""
    return (
        [TIMINGS]
        if CONFIG.times_kernels() and all(path.exists() for path in BENCHMARKS)
        else []
    )


def drawn(paper):
    return [f"{FOLDER}/figures/{paper}/{name}.svg" for name in FIGURES[paper]]


wildcard_constraints:
    paper="|".join(map(re.escape, PAPERS)),
    experiment="[^/]+",
    figure="[^/]+",
    dataset="[^/]+",
    job="[^/]+/[^/]+/[^/]+",
    key="[0-9a-f]+",
    record="result|skipped",
