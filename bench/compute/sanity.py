"""What goes wrong while training, noticed at once: wrong noise, non-finite loss, identity, constant output."""

import math

import numpy as np

from ..datasets.noise.model import Image, Noise
from ..datasets.sampling import Sample

ERRORS = 6.0  # standard errors that chance explains
CANNOT_TELL = 0.5 / ERRORS  # standard error above which a crop says nothing: its variance lies in too few pixels
SETTLED = 0.25  # share of the steps after which an output is expected to be an image,
EARLIEST = 3  # and the first step at which it is


class DivergedError(RuntimeError):
    """The loss is not finite any more."""


class WrongNoiseError(RuntimeError):
    """The training noise is not the one asked for."""


def check_noise(sample: Sample, noise: Noise) -> None:
    """WrongNoiseError if a frame's standard deviation is wrong by 15 % and by more than chance can explain."""
    if sample.clean is None or not noise.family.simulated or noise.conditions:
        return  # nobody knows what it should be
    for frame, level in zip(sample.frames, sample.levels, strict=True):
        found, chance, scatter = relative_variance(frame, sample.clean, noise, level)
        if chance > CANNOT_TELL:
            continue
        if not 0.85**2 <= found <= 1.15**2 and abs(found - 1.0) > ERRORS * max(chance, scatter):
            expected = 255.0 * noise.std(sample.clean, level)
            raise WrongNoiseError(
                f"the training noise {noise.name} at level {level:g} has standard deviation "
                f"{expected * math.sqrt(found):.2f} instead of {expected:.2f} (0..255 units) within an image"
            )


def relative_variance(frame: Image, clean: Image, noise: Noise, level: float) -> tuple[float, float, float]:
    """Measured over expected variance of a frame's noise; its standard error as it should be, and as it seems to be.

    The first error follows from the fourth moments of normal noise and of photon counts, the second from the frame:
    a plug-in's noise may have heavier tails. Infinite where no pixel should have any noise.
    """
    error = (frame - clean).astype(np.float64)
    v = np.broadcast_to(noise.family.variance(clean.astype(np.float64), level), error.shape)
    total = float(v.sum())
    if total <= 0.0:
        return 1.0, math.inf, math.inf
    squares = 2.0 * float(np.square(v).sum())
    if noise.family.counts:
        squares += float(clean.sum(dtype=np.float64)) / level**3
    scatter = float(np.square(np.square(error) - v).sum())
    return float(error.var()) * error.size / total, math.sqrt(squares) / total, math.sqrt(scatter) / total


def check_loss(loss: float, step: int) -> None:
    """A loss that is not finite is divergence."""
    if not math.isfinite(loss):
        raise DivergedError(f"the loss is {loss} at step {step}")


def settled(step: int, steps: int) -> bool:
    """Whether an output is expected to be an image after so many of the steps."""
    return step >= max(EARLIEST, SETTLED * steps)


def check_output(noisy: Image, output: Image, noise_std: float | None) -> str | None:
    """A sentence if the output copies the noisy input or is the same everywhere; None if it is an image."""
    spread = float(np.mean(output.std(axis=(0, 1))))
    if spread < 0.02 * float(np.mean(noisy.std(axis=(0, 1)))):
        return f"constant output: its standard deviation is {255 * spread:.3f} (0..255 units)"
    residual = float((output - noisy).std())
    if residual < (0.1 * noise_std if noise_std else 1e-3):
        return f"identity collapse: output minus input has standard deviation {255 * residual:.3f} (0..255 units)"
    return None
