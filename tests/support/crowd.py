"""Runs commands at the same time, each in a child of its own that logs to a file and may be killed at a moment.

`python -m support.crowd JOBS`:
a JSON list of {"argv": [...], "log": path, "at": [moment, pattern, number], "later": seconds};
prints the list of exit statuses (negative: the signal). The children are forks, so that torch is imported once.
"""

import json
import os
import sys
import time
from functools import partial

from support.crash import begin, load


def wait(moment: float) -> None:
    """Until so many seconds on this machine's clock."""
    time.sleep(max(0.0, moment - time.monotonic()))


if __name__ == "__main__":
    load()
    start = time.monotonic() + 0.5
    jobs = json.loads(sys.argv[1])
    pids = [begin(job, job["log"], partial(wait, start + job.get("later", 0.0))) for job in jobs]
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]))
