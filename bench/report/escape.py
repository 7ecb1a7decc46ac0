"""Text that readers and programs may be given, whatever a foreign name or message holds: one function per format."""

import re
from collections.abc import Callable

LONGEST, NOTE = 400, 2000  # characters of a cell, and of a caption or note
ONE = r"[+-]?(?:[\d,]*\d(?:\.\d+)?|inf)"
NUMBER = re.compile(rf"<?{ONE}(?:[±/]{ONE})*")
HARMLESS = re.compile(r"- / -|\.\.")


def plain(text: str, longest: int = LONGEST) -> str:
    """Without commands to a terminal, and bounded; ends of lines stay."""
    if len(text) > longest:
        text = f"{text[:longest]} ..."
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def markdown(text: str, longest: int = LONGEST) -> str:
    """Nothing ends a cell, begins a tag or a link."""
    text = plain(text.replace("\n", " "), longest).replace("<", "&lt;")
    return text.replace("|", "\\|").replace("](", "]\\(").replace("`", "\\`")


def csv(text: str, longest: int = LONGEST) -> str:
    """Nothing that a spreadsheet takes for a formula: such a cell begins with an apostrophe."""
    text = plain(text.replace("\n", " "), longest)
    formula = text.lstrip().startswith(("=", "+", "-", "@", "\t"))
    return f"'{text}" if formula and not (NUMBER.fullmatch(text) or HARMLESS.match(text)) else text


def json(document: str) -> str:
    """A JSON document in which what is not printable is written as an escape."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\u{ord(c):04x}" for c in document)


CELLS: dict[str, Callable[..., str]] = {"terminal": plain, "md": markdown, "csv": csv, "latex": plain}
