"""The functions behind the commands: plain values in, data out, InputError for wrong input. Imports all floors below.

`run` and its kin are in `runs`, what records say in `report`, looking after a store in `records`, image sets in `sets`,
a user's own images in `own`, checks and times in `tools`. A module loads when one of its functions is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..apply.network_files import TOLERANCE as TOLERANCE
    from ..datasets.noise.model import families as families
    from ..report.claims.report import Report as Report
    from ..report.table_lines import Table as Table
    from ..runner.display import clock as clock
    from ..runner.run import Outcome as Outcome
    from ..runner.status import counted as counted
    from ..runner.verification import LEGEND as LEGEND
    from ..store.clean import KINDS as KINDS
    from .denoising import *  # noqa: F403
    from .options import *  # noqa: F403
    from .own import *  # noqa: F403
    from .ranking import *  # noqa: F403
    from .records import *  # noqa: F403
    from .report import *  # noqa: F403
    from .runs import *  # noqa: F403
    from .sets import *  # noqa: F403
    from .tools import *  # noqa: F403

MODULES = {
    ".options": ("Asked", "Computed", "Options", "RunOptions", "request", "requests"),
    ".runs": ("DryRun", "Rescored", "dry_run", "rescore", "run", "score", "status"),
    ".report": (
        "compare", "details", "figures", "find", "methods", "outcome_tables", "recorded_tables", "report_page",
        "report_site", "store_folder", "tables", "unreadable", "verdicts",
    ),
    ".records": ("Exported", "export", "export_weights", "merge", "removable", "remove", "verify"),
    ".own": ("Images", "noise_card", "noise_rows", "noise_text", "opened", "write_noise_cards"),
    ".denoising": ("Denoising", "denoise", "denoise_array"),
    ".sets": ("data_fetch", "data_list", "data_prepare", "data_show", "data_verify"),
    ".ranking": ("rank", "ranking_plain", "ranking_rows", "ranking_text"),
    ".tools": ("check", "claim", "environment", "regress", "speed", "submit", "update_references"),
    "..apply.network_files": ("TOLERANCE",),
    "..datasets.noise.model": ("families",),
    "..report.claims.report": ("Report",),
    "..report.table_lines": ("Table",),
    "..runner.display": ("clock",),
    "..runner.run": ("Outcome",),
    "..runner.status": ("counted",),
    "..runner.verification": ("LEGEND",),
    "..store.clean": ("KINDS",),
}  # fmt: skip
HOME = {name: module for module, names in MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """A function of one of the modules, which is loaded now."""
    if name not in HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOME[name], __name__), name)
