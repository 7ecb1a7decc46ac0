"""The methods, one idea per file. Knows datasets, but nothing of suites, records or tables."""

from . import b2u, n2c, n2n, nbr2nbr, noisy

__all__ = ["b2u", "n2c", "n2n", "nbr2nbr", "noisy"]
