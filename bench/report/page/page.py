"""One HTML file that needs nothing but itself and may ask nobody for anything."""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from importlib import resources
from itertools import accumulate

import msgspec
from jinja2 import Environment, StrictUndefined
from msgspec import structs

from ...datasets.errors import InputError
from ..colours import COLOURS
from ..escape import NOTE, plain
from ..sheets import Table, sheet
from .model import Cell, Column, Page, Row, Scene, Sheet

SCRIPTS = ("images.js", "viewer.js", "tables.js", "records.js", "plots.js", "start.js")
MEGABYTE = 1_000_000
BUDGET = 20.0  # MB; what most mail servers let through
RESERVE = 2_000  # bytes of a sentence about what was left out


def build(page: Page) -> str:
    """The document; the same bytes for the same page."""
    style = _asset("page.css")
    script = "\n".join(["(() => {", '"use strict";', *map(_asset, SCRIPTS), "})();"])
    data = {
        "scenes": [_described(scene) for scene in page.scenes],
        "plots": page.plots,
        "paired": page.paired,
        "records": page.records,
        "sources": page.sources,
        "colours": COLOURS,
    }
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"plain": plain, "note": lambda text: plain(text, NOTE), "url": _url}
    return environment.from_string(_asset("page.html.j2")).render(
        page=page,
        style=style,
        script=script,
        csp=f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}; "
        "base-uri 'none'; form-action 'none'",
        data=_inert(msgspec.json.encode(data).decode()),
        filters=_filters(page),
        unmeasured=any(not row.measured for one in page.sheets for row in one.rows),
    )


def within(page: Page, scenes: Sequence[Scene], budget: float) -> Page:
    """The page with as many of the scenes, in their order, as fit into `budget` MB; a sentence says how many do not.

    InputError if the page is too large without any.
    """
    left = int(budget * MEGABYTE) - len(build(page).encode()) - RESERVE
    if left < 0:
        need = (int(budget * MEGABYTE) - left) / MEGABYTE
        raise InputError(
            f"--budget {budget:g}: tables and records alone need {need:.1f} MB; expected more: --budget {need + 1:.0f}"
        )
    fits = sum(size <= left for size in accumulate(scene.bytes for scene in scenes))
    said = [f"{len(scenes) - fits} of {len(scenes)} parts are left out: the page may have {budget:g} MB (--budget)."]
    return structs.replace(page, scenes=list(scenes[:fits]), rule=[*page.rule, *said * (fits < len(scenes))])


def of_frames(title: str, tables: Sequence[Table]) -> str:
    """A page of frames of strings: captions, rows and notes."""
    return build(Page(title=title, sheets=[_sheet(*table) for table in tables]))


def _sheet(caption: str, frame: object, notes: Sequence[str]) -> Sheet:
    found = sheet(frame)  # type: ignore[arg-type]
    columns = [Column(name, number) for name, number in zip(found.headings, found.numbers, strict=True)]
    rows = [
        Row([Cell(cell.text, _number(cell.text) if cell.number else None, mark=cell.mark) for cell in row], {}, begins)
        for row, begins in zip(found.rows, found.begins, strict=True)
    ]
    return Sheet(caption, columns, rows, list(notes))


def _number(text: str) -> float | None:
    """The first number of a cell such as `31.00±0.01/0.850`."""
    try:
        return float(text.lstrip("<").split("/")[0].split("±")[0].replace(",", ""))
    except ValueError:
        return None


def _described(scene: Scene) -> dict[str, object]:
    """What the scripts are told of a scene; its images stand in the document."""
    panels = [
        {name: getattr(panel, name) for name in ("name", "role", "low", "high", "note", "key")}
        | {"depth": len(panel.planes)}
        for panel in scene.panels
    ]
    return {name: value for name, value in structs.asdict(scene).items() if name != "panels"} | {"panels": panels}


def _filters(page: Page) -> dict[str, list[str]]:
    """The values that rows can be filtered by, where there are several."""
    found: dict[str, dict[str, None]] = {}
    for one in page.sheets:
        for row in one.rows:
            for name, value in row.filters.items():
                found.setdefault(name, {})[value] = None
    return {name: sorted(values) for name, values in found.items() if len(values) > 1}


def _inert(document: str) -> str:
    """JSON that ends no script element and begins no comment; what is not printable is escaped, and long texts cut."""
    text = document.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def _url(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode()}"


def _digest(text: str) -> str:
    """How a policy names an inline text."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8").strip()
