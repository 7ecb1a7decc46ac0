"""Noise: `model` has what all families share, each other file one family or condition. Imports errors and seeds."""
