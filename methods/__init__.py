"""The methods, one idea per file. Knows datasets, but nothing of suites, records or tables."""

from . import anscombe, b2u, blur, bm3d, n2c, n2n, nbr2nbr, noisy

__all__ = ["anscombe", "b2u", "blur", "bm3d", "n2c", "n2n", "nbr2nbr", "noisy"]
