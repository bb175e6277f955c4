"""What an idle driver counts as supply, by the offers that the driver has answered."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Whoever takes so much of what is offered counts fully: refusing now and then takes nothing from supply.
FULL_SHARE = 0.4
#: What is expected of a driver weighs as much as so many answers.
PRIOR_ANSWERS = 2.0
#: Rides that the others must have accepted for each driver who has answered no offer yet and is left out. A new city,
#: where everybody is untested, counts everybody.
ACCEPTED_PER_UNTESTED = 10.0


def supply_weights(accepted: FloatArray, answered: FloatArray) -> FloatArray:
    """Return what each idle driver counts (n,), 0 to 1, by offers accepted and answered (n,); one run out is answered.

    A driver who has answered counts (k u + accepted) / (k + answered), the share of offers taken, over the share that
    counts fully; k are the prior answers. One who has not counts u: 1 while nobody is known, 0 where the others have
    accepted `ACCEPTED_PER_UNTESTED` rides for each of them, and in proportion in between. So untested drivers together
    lose at most one driver for each ten rides that others have accepted.
    """
    untested = int(np.count_nonzero(answered == 0))
    untested_weight = max(0.0, 1.0 - float(accepted.sum()) / (ACCEPTED_PER_UNTESTED * max(untested, 1)))
    share = (PRIOR_ANSWERS * untested_weight + accepted) / (PRIOR_ANSWERS + answered)
    weight: FloatArray = np.where(answered == 0, untested_weight, np.minimum(share / FULL_SHARE, 1.0))
    return weight
