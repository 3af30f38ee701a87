"""From configuration to jobs: the grids of the papers are expanded into the table that Snakemake schedules."""

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bnnbench.errors import UserError
from bnnbench.harness import device, first_stage, options, paper, registry
from bnnbench.harness.code import code_hash
from bnnbench.harness.config import Config, merged, nested, parse, unknown
from bnnbench.harness.data import Availability, availability
from bnnbench.harness.experiment import Params
from bnnbench.harness.first_stage import FirstStage
from bnnbench.harness.paper import ExperimentSpec, Paper, Resources, ScaleSpec
from bnnbench.harness.registry import NAME_RULE

CELL = re.compile(r"[A-Za-z0-9._=+,-]*")  # becomes part of a path
ADDED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,99}")
LONGEST = 200  # characters of a variant's name: file systems allow 255


@dataclass(frozen=True)
class Job:
    """A variant with its seeds at a scale; jobs are the unit that is scheduled and cached."""

    paper: str
    experiment: str
    variant: str
    scale: str
    seeds: tuple[int, ...]
    seed_per_job: bool
    params: Params
    datasets: tuple[str, ...]
    resources: Resources
    key: str
    device: str
    skip: str = ""
    basis: str = ""
    """Hash of code, device and threads: what the result depends on apart from parameters, seeds and data."""
    identities: tuple[tuple[str, str], ...] = ()
    """For each data set, its name and a hash of its content and of the code that reads it."""
    is_added: bool = False
    """Whether the job computes a seed that the configuration does not name but that is to settle a claim."""

    @property
    def id(self) -> str:
        """`paper/experiment/variant`, with `@seed` where each seed is a job."""
        suffix = f"@{self.seeds[0]}" if self.seed_per_job else ""
        return f"{self.paper}/{self.experiment}/{self.variant}{suffix}"


@dataclass(frozen=True)
class Plan:
    """The jobs of a configuration, and what is known about their data."""

    config: Config
    jobs: tuple[Job, ...]
    data: dict[str, Availability]
    stages: tuple[FirstStage, ...] = ()
    """The first stages that were recorded to settle claims and that are valid for the jobs of this plan."""

    def job(self, name: str) -> Job:
        """The job with the id `name`; an unknown one raises `UserError` with the nearest known one."""
        for job in self.jobs:
            if job.id == name:
                return job
        raise UserError(unknown("job", name, [job.id for job in self.jobs]))

    def papers(self) -> list[str]:
        """Names of the papers that have jobs."""
        return sorted({job.paper for job in self.jobs})

    def folder(self, job: Job) -> Path:
        """The folder for all that a job writes; each key has its own folder, so that nothing is ever stale."""
        return self.config.folder() / job.id / job.key

    def result(self, job: Job) -> Path:
        """The record of a job: `result.json`, or `skipped.json` where it cannot be computed here and never was."""
        computed = self.folder(job) / "result.json"
        return self.folder(job) / "skipped.json" if job.skip and not computed.exists() else computed


def make(config: Config, where: str = "config") -> Plan:
    """Expands `config`; `where` names its file in errors."""
    _check_params_known(config, where)
    chosen = [(one, name) for one in _papers(config, where) for name in _experiments(one, config)]
    if not chosen:
        chosen_papers = ", ".join(one.name for one in _papers(config, where))
        raise UserError(
            f"{where}: nothing to run: no chosen experiment of {chosen_papers} has the scale {config.scale}"
        )
    data: dict[str, Availability] = {}
    jobs = [job for one, name in chosen for job in _jobs(one, name, config, where, data)]
    asked = [
        options.Asked(job.id, method, given, _method_code(method, where))
        for job in jobs
        for method, given in job.params.methods().items()
    ]
    options.check(asked, config.cache_dir() / "options")
    if not jobs:
        raise UserError(
            f"{where}: nothing to run: no chosen experiment has the variants {config.variants} at {config.scale}"
        )
    stages = tuple(first_stage.current(config, _keys(jobs)))
    added = first_stage.added_seeds(stages)
    if added:
        jobs += [job for one, name in chosen for job in _jobs(one, name, config, where, data, added)]
    return Plan(config, tuple(jobs), data, stages)


def _keys(jobs: Sequence[Job]) -> dict[str, dict[str, str]]:
    """For each `paper/experiment/variant`, its jobs with their keys."""
    keys: dict[str, dict[str, str]] = {}
    for job in jobs:
        keys.setdefault(f"{job.paper}/{job.experiment}/{job.variant}", {})[job.id] = job.key
    return keys


def _papers(config: Config, where: str) -> list[Paper]:
    names = paper.names() if config.papers == "all" else config.papers
    for name in names:
        if name not in paper.names():
            raise UserError(f"{where}: papers: {unknown('paper', name, paper.names())}")
    return [paper.get(name) for name in names]


def _experiments(publication: Paper, config: Config) -> list[str]:
    return [
        name
        for name, spec in publication.spec.experiments.items()
        if config.scale in spec.scales and _matches(f"{publication.name}/{name}", config.experiments)
    ]


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _check_params_known(config: Config, where: str) -> None:
    for key, named in (("params", config.params), ("add_variants", config.add_variants)):
        for name in named:
            paper_name, _, experiment = name.partition("/")
            if paper_name not in paper.names() or experiment not in paper.get(paper_name).spec.experiments:
                known = [f"{p}/{e}" for p in paper.names() for e in paper.get(p).spec.experiments]
                raise UserError(f"{where}: {key}: {unknown('experiment', name, known)}")
    for name, added in config.add_variants.items():
        paper_name, _, experiment = name.partition("/")
        for variant in added:
            if not ADDED.fullmatch(variant):
                rule = NAME_RULE.replace("a-z", "a-z, A-Z")
                raise UserError(f"{where}: add_variants: {name}: name {variant!r}: {rule}")
            if variant in paper.get(paper_name).spec.experiments[experiment].variants:
                raise UserError(f"{where}: add_variants: {name} has a variant {variant!r} already; choose another name")
    for pattern in config.variants:
        variants = [v for p in paper.names() for e in paper.get(p).spec.experiments.values() for v in e.variants]
        variants += [variant for added in config.add_variants.values() for variant in added]
        if "," not in pattern and not any(fnmatchcase(variant, pattern) for variant in variants):
            raise UserError(f"{where}: variants: {unknown('variant', pattern, variants)}")
    for pattern in config.experiments:
        known = [f"{p}/{e}" for p in paper.names() for e in paper.get(p).spec.experiments]
        if not any(fnmatchcase(name, pattern) for name in known):
            raise UserError(f"{where}: experiments: {unknown('experiment', pattern, known)}")


def _jobs(
    publication: Paper,
    name: str,
    config: Config,
    where: str,
    data: dict[str, Availability],
    more: Mapping[str, Sequence[int]] | None = None,
) -> Iterator[Job]:
    """The jobs of an experiment, or, where `more` gives seeds for its variants, one job for each of these seeds."""
    spec, experiment = publication.spec.experiments[name], f"{publication.name}/{name}"
    scale = spec.scales[config.scale]
    variants = list(_variants(publication, name, config, where))  # mistakes in paper.yaml are reported first
    code = code_hash(publication.module(name))
    place, lacking = device.choose(config.device, scale.resources.gpus)
    seed_per_job = config.scale == "paper" if scale.seed_per_job is None else scale.seed_per_job
    alone = seed_per_job or more is not None
    for variant, params in variants:
        wanted = _seeds(scale, variant, config) if more is None else more.get(f"{experiment}/{variant}", ())
        needed, wished = params.datasets(), params.optional_datasets()
        _look_for((*needed, *wished), data, config, f"{where}: {experiment}")
        used = {dataset: [data[dataset].identity, _data_code(dataset)] for dataset in (*needed, *wished)}
        codes = [code, *(_method_code(method, where) for method in params.methods())]
        for group in [(seed,) for seed in wanted] if alone else [tuple(wanted)]:
            yield Job(
                paper=publication.name,
                experiment=name,
                variant=variant,
                scale=config.scale,
                seeds=group,
                seed_per_job=alone,
                params=params,
                datasets=(*needed, *(dataset for dataset in wished if not data[dataset].unavailable)),
                resources=scale.resources,
                key=_key(experiment, params, group, codes, used, place, scale.resources.threads),
                device=place,
                skip="; ".join(
                    filter(None, [*(data[dataset].unavailable for dataset in needed), *_absent(params), lacking])
                ),
                basis=_hash([code, place, scale.resources.threads]),
                identities=tuple((dataset, _hash(identity)) for dataset, identity in used.items()),
                is_added=more is not None,
            )


def _variants(publication: Paper, name: str, config: Config, where: str) -> Iterator[tuple[str, Params]]:
    """The chosen variants of an experiment at the configured scale, with their parameters."""
    spec, experiment = publication.spec.experiments[name], f"{publication.name}/{name}"
    scale, kind = spec.scales[config.scale], publication.declaration(name).params
    added = config.add_variants.get(experiment, {})
    for variant, values in _cells(spec, scale, added, f"{publication.name}/paper.yaml: {name}"):
        if _matches(variant, config.variants):
            common = merged(spec.params, scale.params)
            yield variant, _params(kind, experiment, config, where, variant, merged(common, values))


def _look_for(datasets: Sequence[str], known: dict[str, Availability], config: Config, where: str) -> None:
    """Adds to `known` the availability of the data sets on this machine; `UserError` for an unknown name."""
    for name in datasets:
        if name not in registry.datasets():
            raise UserError(f"{where}: {unknown('data set', name, sorted(registry.datasets()))}")
        if name not in known:
            known[name] = availability(registry.dataset(name), config)


def _params(
    kind: type[Params], experiment: str, config: Config, where: str, variant: str, values: dict[str, Any]
) -> Params:
    """The parameters of a variant with the configuration's overrides; an error names the file with the mistake."""
    paper_name, _, name = experiment.partition("/")
    if variant.partition(",")[0] in config.add_variants.get(experiment, {}):
        params = parse(kind, values, where, f"add_variants.{experiment}.{variant}.")
    else:
        params = parse(kind, values, f"{paper_name}/paper.yaml", f"{name}/{variant}: ")
    override = config.params.get(experiment)
    return parse(kind, merged(values, override), where, f"params.{experiment}.") if override else params


def _cells(
    spec: ExperimentSpec, scale: ScaleSpec, added: Mapping[str, dict[str, Any]], where: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and parameters of the variants of a scale, crossed with its grid; `where` names the file in errors."""
    wanted = scale.variants if scale.variants is not None else list(spec.variants)
    for variant in [*scale.variant_params, *wanted]:
        if variant not in spec.variants:
            raise UserError(f"{where}: {unknown('variant', variant, sorted(spec.variants))}")
    for pattern in scale.variant_seeds:
        if not any(fnmatchcase(variant, pattern.partition(",")[0]) for variant in [*spec.variants, *added]):
            raise UserError(f"{where}: {unknown('variant', pattern, sorted(spec.variants))}")
    known = {**spec.variants, **added}
    grid = _grid(spec, scale, where)
    for variant in [*wanted, *added]:
        for values in itertools.product(*grid.values()):
            cell = dict(zip(grid, values, strict=True))
            suffix = "".join(f",{key}={value}" for key, value in cell.items())
            if not CELL.fullmatch(suffix):
                raise UserError(f"{where}: grid value in {suffix!r} may hold only A-z 0-9 . _ + -")
            if len(variant + suffix) > LONGEST:
                raise UserError(f"{where}: the name {variant}{suffix} is longer than {LONGEST}")
            params = merged(known[variant], scale.variant_params.get(variant, {}))
            for key, value in cell.items():
                params = merged(params, nested(key, value))
            yield f"{variant}{suffix}", params


def _grid(spec: ExperimentSpec, scale: ScaleSpec, where: str) -> dict[str, list[Any]]:
    """The grid, with the values that the scale overrides."""
    for key in scale.grid:
        if key not in spec.grid:
            raise UserError(f"{where}: {unknown('parameter of the grid', key, [*spec.grid])}")
    return {**spec.grid, **scale.grid}


def _seeds(scale: ScaleSpec, cell: str, config: Config) -> Sequence[int]:
    """The configuration's seeds, or else the cell's own (of the first name or pattern that matches), or the scale's."""
    if config.seeds is not None:
        return config.seeds
    names = (cell, cell.partition(",")[0])
    own = (seeds for pattern, seeds in scale.variant_seeds.items() if any(fnmatchcase(one, pattern) for one in names))
    return next(own, scale.seeds)


def _absent(params: Params) -> Iterator[str]:
    """What to install, for each package that the parameters need and this environment lacks."""
    for name in params.packages():
        if find_spec(name) is None:
            yield f"needs the package {name}; run: python -m pip install {name}"


def _data_code(dataset: str) -> str:
    """Hash of the code that reads a data set; the identity of its content is separate."""
    return code_hash(type(registry.dataset(dataset)).__module__)


def _method_code(method: str, where: str) -> str:
    if method not in registry.methods():
        raise UserError(f"{where}: {unknown('method', method, sorted(registry.methods()))}")
    return code_hash(registry.methods()[method].module)


def _key(
    experiment: str,
    params: Params,
    seeds: Sequence[int],
    codes: Sequence[str],
    data: dict[str, list[str]],
    place: str,
    threads: int,
) -> str:
    """A short hash of all that a result depends on; a result with another key is stale.

    Whether this machine can compute the job (`skip`) is not part of the key: a machine without a GPU must not make
    stale what another machine has computed.
    """
    code = codes[0] if len(codes) == 1 else list(codes)
    return _hash([experiment, params.model_dump(mode="json"), list(seeds), code, data, place, threads])


def _hash(parts: Any) -> str:
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()
