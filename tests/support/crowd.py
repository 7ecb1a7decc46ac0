"""Runs commands at the same time, each in a child of its own that logs to a file and may be killed at a moment.

`python -m support.crowd JOBS`:
a JSON list of {"argv": [...], "log": path, "at": [moment, pattern, number], "later": seconds};
prints the list of exit statuses (negative: the signal). The children are forks, so that torch is imported once.
"""

import json
import os
import sys
import time
from typing import Any

import torch

from bench.cli.main import main
from support.crash import plant


def begin(job: dict[str, Any], start: float) -> int:
    """The process of a job, which begins its command at the same instant as the others, or later."""
    pid = os.fork()
    if pid:
        return pid
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if "at" in job:
        plant(*job["at"])
    time.sleep(max(0.0, start + job.get("later", 0.0) - time.monotonic()))
    code = main(job["argv"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])  # the first one imports for seconds: not in every child
    start = time.monotonic() + 0.5
    pids = [begin(job, start) for job in json.loads(sys.argv[1])]
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]))
