"""Text of 80 columns."""

import textwrap


def paragraph(words: str, first: str = "", then: str = "") -> list[str]:
    """The lines of a paragraph, with the indents of the first and of the other ones."""
    return textwrap.wrap(words, 80, initial_indent=first, subsequent_indent=then, break_on_hyphens=False)
