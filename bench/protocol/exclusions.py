"""Why a method cannot be trained or scored on some noise or sets."""

from collections.abc import Sequence

from ..datasets.errors import one_line
from ..datasets.noise.captured import NONE, Captured
from ..datasets.noise.model import Noise
from ..datasets.sets.find import find
from .states import State
from .units import Fit


def of_fit(fit: Fit, tests: Sequence[str]) -> State | None:
    """Why a fit cannot be trained and scored on these test sets; None if it can."""
    if state := of_noise(fit, fit.noise):
        return state
    unknown = [test for test in tests if fit.view == "bayer-aligned" and not find(test).patterns_known]
    why = f"the Bayer patterns of the images of {', '.join(unknown)} are unknown" if unknown else ""
    why = why or ("" if fit.weights else _untrainable(fit, tests))
    return State("not possible", why) if why else None


def of_noise(fit: Fit, noise: Noise) -> State | None:
    """Why the method is not defined for this noise; None if it is."""
    try:
        why = fit.method.applies(noise, fit.planes)
    except Exception as error:  # a plug-in's code may raise anything; the other cells go on
        return State("failed", f"the method's `applies` raised {one_line(error)}")
    return State("not defined", str(why)) if why else None


def _untrainable(fit: Fit, tests: Sequence[str]) -> str:
    """What the training set of a fit lacks, or would leak of the test sets; empty if nothing."""
    method, train = fit.method, fit.train
    seen = any(find(train).overlaps(find(test)) for test in tests)
    if seen and method.supervision == "clean":
        return f"{train} overlaps the test set, so supervised training would leak the ground truth"
    if seen and method.supervision == "pair" and isinstance(fit.noise.family, Captured):
        return f"{train} overlaps the test set, so a second frame of a test scene would leak its ground truth"
    if method.has_weights() and (wrong := _unfit_crop(fit)):
        return wrong
    if fit.noise != NONE:
        return ""
    if not method.has_weights():
        return "the images have no clean versions, so there is nothing to score"
    needs = {"clean": "clean images", "pair": "two noisy frames of each scene"}.get(method.supervision)
    return f"the method needs {needs}, but the training set has one noisy image of each scene" if needs else ""


def _unfit_crop(fit: Fit) -> str:
    """Why the method cannot train on crops of this size; empty if it can."""
    multiple = fit.method.crop_multiple * (1 if fit.view == "plain" else 2)  # a packed mosaic has half the sides
    return f"crops of {fit.crop} pixels; allowed: multiples of {multiple}" if fit.crop % multiple else ""
