"""Checks of methods, of numbers and of speed. Imports all floors below."""
