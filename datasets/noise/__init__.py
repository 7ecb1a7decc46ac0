"""Noise models: one file per family. Imports images' arrays and seeds only."""
