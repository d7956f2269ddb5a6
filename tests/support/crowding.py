"""How busy the machine is, for claims about time: what takes a processor takes longer when others want it too."""

import os


def crowding() -> float:
    """How many processes want each processor, when that is more than one."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
