from bnnbench import kernels as kernels
from bnnbench.notebook import fit as fit
from bnnbench.notebook import measure as measure
from bnnbench.notebook import reference as reference
from bnnbench.notebook import results as results

__version__: str
__all__ = ["fit", "kernels", "measure", "reference", "results"]
