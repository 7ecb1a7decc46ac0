"""Checks of methods, of numbers and of speed. Imports all floors below."""


def silent(said: object) -> None:
    """Shows nothing."""
