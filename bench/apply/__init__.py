"""Trained methods applied to images that are not scored. Imports all floors below."""
