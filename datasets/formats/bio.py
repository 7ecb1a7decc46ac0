"""Microscopes' own formats, CZI, ND2 and LIF, read by bioio; needs the extra `bioio`."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import AbsentError, InputError
from .image_format import ImageFile, ImageFormat, register_format


@register_format
class Microscope(ImageFormat):
    """These formats are only read; denoised images are written as OME-TIFF with the size of a pixel."""

    suffixes = (".czi", ".nd2", ".lif")

    def open(self, path: Path) -> ImageFile:
        """The image, axes of length one left out; scenes of one shape are indices of T."""
        try:
            from bioio import BioImage
        except ImportError:
            raise AbsentError(f"{path}: needs bioio (pip install 'blind2unblind-bench[bioio]')") from None
        image, found = BioImage(path), list[NDArray[Any]]()
        for scene in image.scenes:
            image.set_scene(scene)
            found.append(image.data)  # TCZYX, and S where there are colours
        if len({(one.shape, one.dtype) for one in found}) > 1:
            shapes = ", ".join("x".join(map(str, one.shape)) for one in found[:3])
            raise InputError(f"{path}: {len(found)} scenes of several sizes ({shapes}); save each as a file of its own")
        array = np.concatenate(found)
        letters = "TCZYXS"[: array.ndim]
        kept = [i for i, letter in enumerate(letters) if letter in "YX" or array.shape[i] > 1]
        sizes = image.physical_pixel_sizes
        micrometres = {letter: float(size) for letter in "ZYX" if (size := getattr(sizes, letter, None))}
        notes = (f"its {len(found)} scenes are indices of axis T",) if len(found) > 1 else ()
        plain = array.reshape([array.shape[i] for i in kept])
        return ImageFile(plain, "".join(letters[i] for i in kept), False, notes, micrometres)
