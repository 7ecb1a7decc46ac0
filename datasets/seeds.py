"""Every random number has a name: a seed is the hash of what it is for."""

import hashlib

import numpy as np


def seed(purpose: str, *names: object) -> int:
    """128-bit seed of (purpose, names); equal names give equal numbers on every machine."""
    text = "\x1f".join([purpose, *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def frozen(purpose: str, *names: object) -> np.random.RandomState:
    """Generator of a named stream whose numbers no numpy release may change (test noise)."""
    words = np.random.SeedSequence(seed(purpose, *names)).generate_state(8)
    return np.random.RandomState(words)  # legacy on purpose: its stream is frozen
