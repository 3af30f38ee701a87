"""Parameters that the experiments of the paper share; nothing here imports torch."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from bnnbench.bayes.priors.mixture import ScaleMixture
from bnnbench.harness.experiment import Metric, Params

SHARES = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95)  # per cent of first-layer weights that are pruned
SCHEMES = {"draw": "in each draw the smallest", "mask": "one mask", "matched": "one mask for matched units"}
SIZES, TOLERANCES = (0.01, 0.05, 0.1, 0.25), (0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class Fit(Params):
    """A tanh net under a prior, sampled by NUTS; defaults as published."""

    prior: ScaleMixture = ScaleMixture()
    width: PositiveInt = Field(16, description="hidden units of a layer")
    depth: PositiveInt = Field(1, description="hidden layers")
    chains: PositiveInt = 4
    warmup: PositiveInt = 1000
    draws: PositiveInt = 1000
    target_acceptance: PositiveFloat = Field(0.8, lt=1)
    max_tree_depth: PositiveInt = 10
    chain_method: Literal["vectorized", "sequential"] = Field(
        "sequential",
        description="one chain after the other is faster here: a batch waits for the longest tree of a chain",
    )
    unused: NonNegativeInt = Field(
        0, description="parameters without effect and with a flat prior, of which the authors' programs declare 256"
    )
    integrate_output: bool = Field(True, description="regression: the last layer is integrated out; the same posterior")

    def options(self) -> dict[str, Any]:
        """Those of the method `nuts`; chains start uniformly around 0, as Stan's do, which compiles no sampler of
        gammas.
        """
        names = ("chains", "warmup", "draws", "target_acceptance", "max_tree_depth", "chain_method")
        return {"training": None, "scope": "all", "start": "uniform", **{name: getattr(self, name) for name in names}}

    def methods(self) -> Mapping[str, Mapping[str, Any]]:
        """NUTS."""
        return {"nuts": self.options()}


class Regression(Fit):
    """What is measured of a regression's draws."""

    noise: PositiveFloat | None = Field(None, description="known, in standardised units; null: learned, InvGamma(3, 2)")
    temperature: PositiveFloat = Field(1.0, description="the likelihood to the power 1 / T, with a known noise alone")
    diagnosed: NonNegativeInt = Field(200, description="draws for the effective number of parameters")

    @model_validator(mode="after")
    def _a_temperature_needs_a_known_noise(self) -> "Regression":
        if self.temperature != 1.0 and self.noise is None:
            raise ValueError("temperature: a learned noise collapses below 1; set noise, too")
        return self


class Friedman(Regression):
    """Friedman's first function; a seed is a data set."""

    design: Literal["independent", "correlated"] = "independent"
    n: PositiveInt = Field(100, description="points, of which 80 % train")
    generator_seed: NonNegativeInt | None = Field(
        None, description="of the data; null: the seed's. The authors made all their independent sets with 42"
    )
    split_seed: NonNegativeInt | None = Field(None, description="of the 80 % that train; null: the seed's")
    n_test: PositiveInt = Field(1000, description="new points")


PRUNED = tuple(
    Metric(
        f"rmse_pruned_{scheme}_{share}", "", False, f"{share} % of the first layer's weights set to 0: {text}", "Pruned"
    )
    for scheme, text in SCHEMES.items()
    for share in SHARES
)
OWN = (
    Metric("rmse_draws", "", False, "mean over draws of the RMSE, in standardised units"),
    Metric("rmse_stored", "", False, "the same on the 20 % of the data that did not train, as the authors evaluate"),
    Metric(
        "crps_noise_free", "", False, "of the draws of f without noise, as in the authors' tables, in the unit of y"
    ),
    Metric("noise", "", None, "mean over draws of the noise, in standardised units"),
    Metric("ess_per_cpu_second", "1/s", True, "median over outputs of effective draws, for a CPU-second of the fit"),
    Metric(
        "m_eff", "", None, "effective number of first-layer weights by linearisation, with the prior's own precision"
    ),
    Metric("m_eff_authors", "", None, "the same with the precision of the authors' code: without fixed factors"),
    Metric("steps", "", False, "mean gradient steps of a trajectory"),
    Metric("selection", "", True, "area under the precision-recall curve of the active inputs"),
)


FRACTIONS = {334: 0.1, 668: 0.2, 3341: 1.0}  # of the table, of which 80 % train


class Abalone(Regression):
    """The age of abalones; neither inputs nor targets are standardised, as in the authors' code."""

    n: Literal[334, 668, 3341] = Field(334, description="training rows: of a tenth, a fifth and all of the table")

    def datasets(self) -> tuple[str, ...]:
        """The table."""
        return ("abalone",)


class Cancer(Fit):
    """Breast cancer, two logits; an attack moves each input by a fixed size in the unit of its column."""

    standardised: bool = Field(False, description="inputs; the authors leave them as they are, up to 4,000")
    attacked: PositiveInt = Field(
        50, description="draws that are attacked, each by its own gradient; the authors take 5"
    )

    def datasets(self) -> tuple[str, ...]:
        """The table."""
        return ("breast-cancer",)


class Arena(Fit):
    """One posterior for all samplers: Friedman's function with correlated inputs; a seed is a data set."""

    sampler: Literal["numpyro", "ours", "integrated", "nutpie", "nutpie-low-rank", "mclmc"] = Field(
        "integrated",
        description="NumPyro's as its users call it; the method `nuts`, of all layers or with the last one integrated "
        "out; nutpie with a diagonal or a low-rank mass matrix; BlackJAX's microcanonical Langevin",
    )
    n: PositiveInt = Field(100, description="points")
    n_test: PositiveInt = Field(100, description="new points at which outputs are compared")
    reference_draws: PositiveInt = Field(5000, description="kept of each of the long chains, after as long a warm-up")

    def reference(self) -> "Arena":
        """The long chains that the samplers are compared with."""
        long = {"warmup": self.reference_draws, "draws": self.reference_draws, "sampler": "integrated"}
        return self.model_copy(update={**long, "integrate_output": True})

    def packages(self) -> tuple[str, ...]:
        """Those of the other libraries."""
        return {"mclmc": ("blackjax",), "nutpie": ("nutpie",), "nutpie-low-rank": ("nutpie",)}.get(self.sampler, ())


class Linear(Params):
    """A sparse linear model; a seed is a data set."""

    prior: ScaleMixture | None = Field(ScaleMixture(), description="null: least squares")
    correlation: float = Field(0.0, description="of neighbouring inputs", ge=-1, le=1)
    n: PositiveInt = Field(250, description="points, of which 80 % train")
    chains: PositiveInt = 4
    warmup: PositiveInt = 1000
    draws: PositiveInt = 1000
    max_tree_depth: PositiveInt = 10

    def options(self) -> dict[str, Any]:
        """Those of the method `nuts`."""
        names = ("chains", "warmup", "draws", "max_tree_depth")
        return {"training": None, "scope": "all", "start": "uniform", **{name: getattr(self, name) for name in names}}

    def methods(self) -> Mapping[str, Mapping[str, Any]]:
        """NUTS."""
        return {} if self.prior is None else {"nuts": self.options()}
