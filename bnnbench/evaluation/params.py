"""Parameters that studies share: the method with its options, and the reference that its draws are compared with."""

from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from bnnbench.harness.experiment import Params

Scope = Literal["last", "whole", "all"]


class Inference(Params):
    """A registered method, the prior of its target, and the chains that its draws of weights are compared with."""

    method: str = Field("map", description="a registered method")
    options: dict[str, Any] = Field({}, description="its parameters; 'target' stands for the target's prior precision")
    scope: Scope = Field(
        "last", description="last: on fixed features; whole: all weights of the trained net; all: the method trains it"
    )
    n_draws: PositiveInt | None = Field(None, description="draws of a prediction; null: what the method deems right")
    precision: PositiveFloat = Field(510.0, description="prior precision of the target: HMC's and the flow's")
    chains: PositiveInt = Field(3, description="of HMC, the reference")
    chain_draws: PositiveInt = Field(200, description="of each chain")
    chain_warmup: PositiveInt = 50

    def methods(self) -> dict[str, dict[str, Any]]:
        """The method with its options."""
        return {self.method: self.filled()}

    def filled(self) -> dict[str, Any]:
        """`options` with the target's precision in place of 'target'."""
        return {name: self.precision if value == "target" else value for name, value in self.options.items()}

    def sampling(self) -> dict[str, int]:
        """The reference chains, as parameters of a sampler."""
        return {"chains": self.chains, "draws": self.chain_draws, "warmup": self.chain_warmup}


class PointTraining(Params):
    """How a net is trained to the point estimate that methods start from."""

    epochs: PositiveInt = 100
    batch_size: PositiveInt = 128
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: PositiveFloat = 1e-3
    schedule: Literal["constant", "cosine"] = "cosine"
    weight_decay: NonNegativeFloat = 5e-4

    def training(self) -> dict[str, Any]:
        """These values as the training parameters of a method."""
        chosen = {name: getattr(self, name) for name in PointTraining.model_fields}
        return {**chosen, "nesterov": self.optimizer == "sgd"}
