"""Work in three stages on a row of items: prepared ahead and finished behind the device, in threads of their own."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

AHEAD, BEHIND = 2, 2  # items that are prepared, or wait to be finished; so memory does not grow with their number


def stream(items, prepare, compute, finish):
    """For every item in order: finish(item, compute(item, prepare(item))), where the three work on different items.

    `compute` runs in this thread, which alone may talk to other processes; each of the others in one of its own. An
    error of any stage is raised here, when all that was computed before is finished.
    """
    front, back = ThreadPoolExecutor(1, "prepare"), ThreadPoolExecutor(1, "finish")
    items, ahead, behind = iter(items), deque(), deque()
    try:
        while True:
            ahead.extend((item, front.submit(prepare, item)) for item in islice(items, AHEAD - len(ahead)))
            if not ahead:
                break
            item, prepared = ahead.popleft()
            computed = compute(item, prepared.result())
            if len(behind) == BEHIND:
                behind.popleft().result()
            behind.append(back.submit(finish, item, computed))
    finally:
        front.shutdown(cancel_futures=True)
        back.shutdown()
        for finished in behind:  # an error of theirs is not lost behind what ended the loop
            finished.result()
