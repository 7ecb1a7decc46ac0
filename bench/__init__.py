"""One protocol for every method of Blind2Unblind: train, score, regenerate its tables.

`bench` is the only name this project takes in a Python installation. The rooms `methods/` and `datasets/`
are its subpackages `bench.methods` and `bench.datasets`: a wheel places them inside (pyproject.toml), a
checkout keeps them beside `bench/`, so that its parent folder joins the package's search path here. A
foreign package called `datasets` or `methods` is neither hidden nor imported.
"""

from pathlib import Path

_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "methods" / "registry.py").is_file():
    __path__.append(str(_checkout))

from .api import run, tables  # noqa: E402 - needs the search path above
from .methods.base import Batch, Card, Context, Method, Output  # noqa: E402
from .methods.registry import register  # noqa: E402

__version__ = "0.1.0"
__all__ = ["Batch", "Card", "Context", "Method", "Output", "register", "run", "tables"]
