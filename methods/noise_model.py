"""Methods that need to know how noise depends on the signal: as Gaussian or as Poisson noise does."""

from typing import Literal

from ..datasets.noise.model import Noise
from .base import Context, Method


class NoiseModel(Method, frozen=True):
    """A method with a noise model: that of the simulated noise, or one that is set where the noise is real."""

    knowledge = "family"
    model: Literal["simulated", "gauss", "poisson"] = "simulated"

    def applies(self, noise: Noise, channels: int) -> str | None:
        """Why there is no model for this noise; None if there is."""
        if self.model == "simulated" and noise.family.distribution == "other":
            return "it needs a noise model: set the field model to gauss or poisson"
        return None

    def distribution(self, ctx: Context) -> str:
        """gauss or poisson."""
        if self.model != "simulated":
            return self.model
        assert ctx.noise is not None
        return ctx.noise.distribution
