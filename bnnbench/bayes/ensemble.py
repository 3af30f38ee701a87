"""Deep ensemble: the same net trained from several initial points."""

from copy import deepcopy

from pydantic import Field, PositiveInt
from torch import Generator, nn

from bnnbench.bayes.journal import Journal, Stages, State
from bnnbench.bayes.members import Members, snapshot
from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.training import Training, reinitialised, train_module


class EnsembleParams(MethodParams):
    """Parameters of a deep ensemble."""

    members: PositiveInt = Field(5, description="number of nets")
    training: Training = Training()


@method("ensemble", EnsembleParams)
def ensemble(model: nn.Module, train: Train, params: EnsembleParams, generator: Generator, journal: Journal) -> Members:
    """Members differ in initial parameters and in the order of batches."""
    stages = Stages(journal, generator)

    def fit(journal: Journal) -> State:
        return snapshot(train_module(reinitialised(model, generator), train, params.training, generator, journal))

    states = [dict(stages.run(f"member_{k}", fit)) for k in range(params.members)]
    return Members(deepcopy(model), states, train.likelihood)
