"""The methods, one idea per file. Knows datasets, but nothing of suites, records or tables."""

from . import b2u, dbsn, laine19, n2c, n2n, n2v, nbr2nbr, noisier2noise, r2r, self2self
from .classical import anscombe, blur, bm3d, noisy, vst

__all__ = [
    "anscombe",
    "b2u",
    "blur",
    "bm3d",
    "dbsn",
    "laine19",
    "n2c",
    "n2n",
    "n2v",
    "nbr2nbr",
    "noisier2noise",
    "noisy",
    "r2r",
    "self2self",
    "vst",
]
