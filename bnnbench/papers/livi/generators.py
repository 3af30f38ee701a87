"""The generators of the paper's nets, as options of the method `livi`; nothing here imports torch.

Those for MNIST are of the authors' code. Its files for the wide residual nets give only totals here, so the branches'
sizes are ours, chosen so that the trunk is that of the files and the totals come near theirs.
"""

from typing import Any

N_BRANCHES = 15
SLICE = (127, 129)  # fifteen of them are cut from the 983 x 250 numbers of the trunk
TRUNK = ((95, 95), (250, 500), (983, 250))

GENERATORS: dict[str, dict[str, Any]] = {
    "lenet": {"kind": "matrices", "shapes": ((65, 65), (250, 250), (250, 250), (350, 127))},
    "mlp": {"kind": "matrices", "shapes": ((40, 40), (420, 420), (420, 420), (420, 420), (957, 500))},
    "wrn-16-4": {"kind": "branches", "trunk": TRUNK, "branches": (((SLICE), (265, 265), (428, 428)),) * N_BRANCHES},
    "wrn-28-10": {"kind": "branches", "trunk": TRUNK, "branches": ((SLICE, (350, 350), (1560, 1561)),) * N_BRANCHES},
}
"""By the net whose weights they make."""

N_WEIGHTS = {"lenet": 44_426, "mlp": 478_410, "wrn-16-4": 2_745_274, "wrn-28-10": 36_518_932}
"""Of these nets, with batch norms that have no parameters."""
