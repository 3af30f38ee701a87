"""Parameters that the experiments of the paper share; nothing here imports torch."""

from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt

from bnnbench.harness.experiment import Params

NOISE_PRIOR = -1.25, 0.17
"""Mean and standard deviation of the log noise: those of Gamma(9, 0.7) of the precision, in the authors' HMC."""
NOISE_START = 0.1
"""Of the noise that is learned, in the authors' code."""
NETS = ("lenet", "mlp", "wrn-16-4", "wrn-28-10")
"""Whose weights generators make, from few to many; the nets of images have batch norms without parameters."""


class Toy(Params):
    """A method on the toy regression, measured against long chains; a seed is a data set."""

    method: str | None = Field("livi", description="a registered method; null: the chains, one half against the other")
    options: dict[str, Any] = Field({}, description="its parameters")
    hidden: tuple[PositiveInt, ...] = Field((7, 10), description="units of each hidden layer, with ELU")
    n_draws: PositiveInt = Field(500, description="of weights, from which all is measured")
    precision: PositiveFloat = Field(1 / 1.5**2, description="of the prior of the chains, 1 / variance")
    chains: PositiveInt = Field(8, description="of NUTS, the reference")
    chain_draws: PositiveInt = Field(1000, description="kept of each, after as long a warm-up")
    max_tree_depth: PositiveInt = 10

    def methods(self) -> dict[str, dict[str, Any]]:
        """The method, and NUTS."""
        return {"nuts": self.reference(), **({} if self.method is None else {self.method: self.options})}

    def reference(self) -> dict[str, Any]:
        """Options of the chains that methods are compared with."""
        return {
            "training": None, "scope": "all", "precision": self.precision, "chains": self.chains,
            "draws": self.chain_draws, "warmup": self.chain_draws, "max_tree_depth": self.max_tree_depth,
            "chain_method": "sequential",
        }  # fmt: skip
