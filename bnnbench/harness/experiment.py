"""Experiments: pure functions of their parameters, their data and their seed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from bnnbench.harness.values import check_name

if TYPE_CHECKING:
    from bnnbench.harness.run import Run


class Params(BaseModel):
    """Parameters of an experiment, with their types, ranges and units; an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets that these parameters need."""
        return ()

    def optional_datasets(self) -> tuple[str, ...]:
        """Names of data sets that are used where available; where one is not, `Run.data` raises `DataUnavailable`."""
        return ()

    def packages(self) -> tuple[str, ...]:
        """Names of the packages that these parameters need and that a fresh installation lacks."""
        return ()

    def methods(self) -> Mapping[str, Mapping[str, Any]]:
        """Names of the registered methods that these parameters use, and the options of each."""
        return {}


@dataclass(frozen=True)
class Metric:
    """A number that an experiment reports for each seed; `higher_is_better` is `None` for a metric without direction.

    Metrics with the same `group` have a table of their own in the report.
    """

    name: str
    unit: str = ""
    higher_is_better: bool | None = None
    description: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        check_name(self.name, "metric")


@dataclass(frozen=True)
class Outcome:
    """The outcome of one seed: its metrics, tables by name (columns of equal length), and warnings."""

    metrics: Mapping[str, float]
    tables: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    warnings: Sequence[str] = ()


P = TypeVar("P", bound=Params)


@dataclass(frozen=True)
class Experiment(Generic[P]):
    """A registered experiment: its name (`paper/experiment`), parameters, metrics and function."""

    name: str
    params: type[P]
    metrics: tuple[Metric, ...]
    function: Callable[[P, "Run"], Outcome]
    parallel: bool = False
    """Whether several processes (`run.team`) can compute it together."""

    def __call__(self, params: P, run: "Run") -> Outcome:
        """Computes one seed; `ValueError` for metrics that the experiment did not declare."""
        try:
            outcome = self.function(params, run)
        except SystemExit as left:  # it would end the process as if nothing had failed
            raise RuntimeError(f"{self.name} called exit({left.code!r:.60})") from left
        if not isinstance(outcome, Outcome):
            raise TypeError(f"{self.name} returned {type(outcome).__name__}; it must return an Outcome")
        declared = {metric.name for metric in self.metrics}
        if undeclared := sorted(set(outcome.metrics) - declared):
            raise ValueError(f"{self.name}: metrics {undeclared} are not among the declared {sorted(declared)}")
        return outcome


@dataclass(frozen=True)
class Study(Generic[P]):
    """A computation that experiments of several papers share, each with its own parameters.

    `paper.yaml` names its module.
    """

    params: type[P]
    metrics: tuple[Metric, ...]
    function: Callable[[P, "Run"], Outcome]
    parallel: bool = False

    def named(self, name: str) -> Experiment[P]:
        """The experiment `name` (`paper/experiment`) that this study computes."""
        return Experiment(name, self.params, self.metrics, self.function, self.parallel)

    def __call__(self, params: P, run: "Run") -> Outcome:
        """Computes one seed."""
        return self.named(self.function.__name__)(params, run)


def study(
    params: type[P], metrics: Sequence[Metric], parallel: bool = False
) -> Callable[[Callable[[P, "Run"], Outcome]], Study[P]]:
    """Declares the decorated function as the study of its module, which planning imports, as for `experiment`."""

    def declare(function: Callable[[P, "Run"], Outcome]) -> Study[P]:
        return Study(params, tuple(metrics), function, parallel)

    return declare


def experiment(
    name: str, params: type[P], metrics: Sequence[Metric], parallel: bool = False
) -> Callable[[Callable[[P, "Run"], Outcome]], Experiment[P]]:
    """Declares the decorated function as the experiment `name`.

    Planning imports its module, so the module imports torch and similar packages inside the function.
    """

    def declare(function: Callable[[P, "Run"], Outcome]) -> Experiment[P]:
        return Experiment(name, params, tuple(metrics), function, parallel)

    return declare
