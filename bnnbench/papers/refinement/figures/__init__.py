"""The paper's figures and tables redrawn from results."""
# ruff: noqa: I001, RUF022  (in the order of the report)

from bnnbench.papers.refinement.figures.nets import (
    few_samples,
    fmnist_methods,
    cifar10_methods,
    cifar100_methods,
    prior_mismatch,
    other_data,
    other_data_cifar10,
    marginals,
    flow_length,
    flow_length_cifar10,
    rotation,
    corruption,
    all_layer,
)
from bnnbench.papers.refinement.figures.toys import (
    integration,
    toy,
    linearisation,
    mpa_toy,
)

__all__ = [
    "few_samples",
    "fmnist_methods",
    "cifar10_methods",
    "cifar100_methods",
    "prior_mismatch",
    "other_data",
    "other_data_cifar10",
    "marginals",
    "flow_length",
    "flow_length_cifar10",
    "rotation",
    "corruption",
    "all_layer",
    "integration",
    "toy",
    "linearisation",
    "mpa_toy",
]
