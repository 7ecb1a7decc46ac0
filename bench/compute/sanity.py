"""What goes wrong while training, noticed at once: wrong noise, non-finite loss, identity, constant output."""

import math

import numpy as np

from ..datasets.noise.model import Image, Noise
from ..datasets.sampling import Sample

SETTLED = 0.25  # share of the steps after which an output is expected to be an image


class DivergedError(RuntimeError):
    """The loss is not finite any more."""


class WrongNoiseError(RuntimeError):
    """The training noise is not the one asked for."""


def check_noise(samples: Sample, noise: Noise) -> None:
    """Compares the standard deviation within each frame with the level's, to 15 %."""
    if samples.clean is None or not noise.family.simulated:
        return  # nobody knows what it should be
    for frame, level in zip(samples.frames, samples.levels, strict=True):
        dark = noise.family.counts and level * samples.clean.mean() < 1
        if dark or noise.conditions:
            continue  # a crop cannot tell
        expected, found = noise.std(samples.clean, level), float((frame - samples.clean).std())
        if not 0.85 * expected <= found <= 1.15 * expected:
            raise WrongNoiseError(
                f"the training noise {noise.name} at level {level:g} has standard deviation {255 * found:.2f} "
                f"instead of {255 * expected:.2f} (0..255 units) within an image"
            )


def check_loss(loss: float, step: int) -> None:
    """A loss that is not finite is divergence."""
    if not math.isfinite(loss):
        raise DivergedError(f"the loss is {loss} at step {step}")


def check_output(noisy: Image, output: Image, noise_std: float | None) -> str | None:
    """A sentence if the output copies the noisy input or is the same everywhere; None if it is an image."""
    spread = float(np.mean(output.std(axis=(0, 1))))
    if spread < 0.02 * float(np.mean(noisy.std(axis=(0, 1)))):
        return f"constant output: its standard deviation is {255 * spread:.3f} (0..255 units)"
    residual = float((output - noisy).std())
    if residual < (0.1 * noise_std if noise_std else 1e-3):
        return f"identity collapse: output minus input has standard deviation {255 * residual:.3f} (0..255 units)"
    return None
