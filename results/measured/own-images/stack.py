"""Makes spots.tif, a 12-bit stack like a microscope's, and clean.tif, what it would be without noise.

With names of files: the root mean square of their difference from clean.tif, in stored units.
"""

import sys
from pathlib import Path

import numpy as np
import skimage.data
import tifffile

OFFSET, GAIN, READ_NOISE, PHOTONS = 100.0, 4.0, 6.0, 120.0  # stored units, and photons of the brightest pixel
FRAMES, SIDE, STEP = 8, 192, 60

sky = skimage.data.hubble_deep_field().mean(axis=2)  # bright spots on a dark ground, as in fluorescence
sky = np.clip(sky / np.quantile(sky, 0.999), 0.0, 1.0)
rng = np.random.default_rng(0)
views = np.stack([sky[100 + STEP * i : 100 + STEP * i + SIDE, 300 : 300 + SIDE] for i in range(FRAMES)])
photons = rng.poisson(PHOTONS * views)
stored = OFFSET + GAIN * photons + rng.normal(0.0, READ_NOISE, views.shape)
here = Path(__file__).parent
about = {"axes": "ZYX", "unit": "um", "spacing": 1.0}
for name, values in (("spots", stored), ("clean", OFFSET + GAIN * PHOTONS * views)):
    image = np.clip(np.rint(values), 0, 4095).astype(np.uint16)
    tifffile.imwrite(
        here / f"{name}.tif", image, imagej=True, resolution=(8.0, 8.0), metadata=about, compression="zlib"
    )
for file in sys.argv[1:]:
    found, clean = (tifffile.imread(one).astype(np.float64) for one in (file, here / "clean.tif"))
    sys.stdout.write(f"{file}: {np.sqrt(np.mean((found - clean) ** 2)):.2f}\n")
