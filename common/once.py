"""An error that all processes of a run share is printed once; one that is not, by the process that has it.

Works before the processes have met, too: they know each other's address from the launcher's environment.
"""

import os
import time
from datetime import timedelta

PATIENCE = 5  # seconds that processes wait for each other's errors


def said_by_first(message):
    """Whether the first process ends with the same message; it calls this too, and waits until the others know."""
    from torch.distributed import TCPStore, is_initialized  # takes seconds: only where there is an error to tell

    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    # torchrun serves the address itself, else the first process does
    served = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" or is_initialized()
    run = f"error/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
    limit = time.monotonic() + PATIENCE
    try:
        address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(
            *address, is_master=not rank and not served, timeout=timedelta(seconds=PATIENCE), wait_for_workers=False
        )
        if rank == 0:
            store.set(run, message)
            while store.add(f"{run}/known", 0) < world - 1 and time.monotonic() < limit:
                time.sleep(0.05)
            return False
        same = store.get(run).decode() == message
        store.add(f"{run}/known", 1)
        return same
    except (KeyError, RuntimeError, ValueError):  # no address, nobody there, nothing said
        return False
