"""The command that computes a cell of a table."""

import shlex

from ..protocol.plan import Cell
from ..protocol.request import Request


def command(request: Request, cell: Cell) -> str:
    """What to type for one cell of a request, as one line for a shell."""
    external = next((one for one in request.weights if one.name == cell.name), None)
    words = ["python", "-m", "bench", "score" if external else "run", "--suite", request.suite]
    words += ["--preset", request.preset]
    words += ["--method", external.method, "--weights", external.file] if external else ["--methods", cell.name]
    given: dict[str, tuple[object, ...]] = {"noise": (cell.noise.name,), "test-sets": request.tests}
    given |= {"repeats": (request.repeats,) * bool(request.repeats), "tested": request.tested}
    if not external:
        given |= {"train": (request.train,) * bool(request.train), "seeds": request.seeds}
        given |= {"steps": (request.steps,) * bool(request.steps), "net": (request.net,) * bool(request.net)}
    for name, values in given.items():
        words += [f"--{name}", ",".join(map(str, values))] if values else []
    line = shlex.join(words)
    if not request.scoring:
        return line
    return f"{line} && python -m bench rescore --suite {shlex.quote(request.suite)} --scoring {request.scoring}"
