"""Tables and figures as one HTML page that needs nothing but itself."""

from base64 import b64encode
from collections.abc import Sequence
from importlib import resources

from jinja2 import Environment, StrictUndefined

from ..datasets.errors import InputError
from .escape import NOTE, plain
from .sheets import Table, sheet

TYPES = {b"\x89PNG": "image/png", b"<svg": "image/svg+xml", b"<?xml": "image/svg+xml"}


def page(tables: Sequence[Table], figures: Sequence[tuple[str, bytes]] = ()) -> str:
    """A self-contained document of tables and of named PNG or SVG figures; InputError for other images."""
    template = resources.files(__package__).joinpath("table.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    shown = [
        (plain(caption, NOTE), sheet(frame), [plain(note, NOTE) for note in notes]) for caption, frame, notes in tables
    ]
    images = [(name, _data_url(name, content)) for name, content in figures]
    return environment.from_string(template).render(tables=shown, figures=images)


def _data_url(name: str, content: bytes) -> str:
    kind = next((kind for start, kind in TYPES.items() if content.lstrip().startswith(start)), None)
    if kind is None:
        raise InputError(f"figure {name!r} begins with {content[:8]!r}; allowed: PNG, SVG")
    return f"data:{kind};base64,{b64encode(content).decode()}"
