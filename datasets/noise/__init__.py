"""Noise: `model` has what all families share, each other file one family, or what is applied to all; imports seeds."""
