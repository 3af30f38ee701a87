"""All data sets of this package, as its entry point publishes them."""

from __future__ import annotations

from bnnbench.data.catalogue_images import IMAGE_SETS
from bnnbench.data.catalogue_tables import TABLE_SETS
from bnnbench.data.dataset import Dataset

DATASETS: tuple[Dataset, ...] = (*IMAGE_SETS, *TABLE_SETS)
