"""Speed of scoring against the loop in which the authors' codes validate, side by side in one process."""

import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec import structs
from torch import Tensor, nn
from torch.nn import functional as F

from ..compute.machine import Machine
from ..compute.noisy_images import centre_crop, noisy_images
from ..compute.scoring import evaluate
from ..compute.step import build
from ..datasets.images import SetImage
from ..datasets.sets.find import find
from ..methods.base import Context, Progress
from ..methods.networks.unet import Decoder, UNet
from ..methods.rng import Rng, numbered
from ..protocol.units import Score

TURNS = IMAGES = 3


def without_shortcuts(net: nn.Module) -> None:
    """Makes our networks compute every pixel and every product, as the authors' do."""
    for module in net.modules():
        if isinstance(module, UNet):
            module.reads_grid = module.reads_pixels = module.reads_corner = False
        if isinstance(module, Decoder):
            module.upsampled = partial(_joined, module)  # type: ignore[method-assign]


def _joined(decoder: Decoder, x: Tensor, skip: Tensor) -> Tensor:
    joined: Tensor = decoder.conv1(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
    return joined


def official_loop(work: Score, net: nn.Module | None, set_images: list[SetImage], device: str) -> list[float]:
    """PSNR of every output: image by image, padded to a square, float32, compared by PSNR and SSIM right after it."""
    from skimage.metrics import structural_similarity  # imported here: it is slow to load

    method, found = work.fit.method, []
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    for noisy in noisy_images(work, set_images):
        clean = noisy.set_image.pixels.astype(np.float64)
        height, width = clean.shape[:2]
        side = -(-max(height, width) // method.multiple) * method.multiple
        padding = ((0, side - height), (0, side - width), (0, 0)) if method.multiple > 1 else ((0, 0),) * 3
        square = np.pad(noisy.image, padding, mode="reflect").transpose(2, 0, 1)
        batch = torch.from_numpy(np.ascontiguousarray(square))[None].to(device)
        level, rng = torch.tensor([noisy.level], device=device), Rng("inference", numbered([noisy.name], device))
        with torch.no_grad():
            context = Context(Progress(1, 1), rng, 10**9, work.noise.family, level)
            outputs = method.denoise(net, batch, context)  # type: ignore[arg-type]
        for output in method.outputs:
            image = outputs[output.name][0, :, :height, :width].cpu().numpy().transpose(1, 2, 0)
            rounded = np.trunc(np.clip(image, 0, 1) * np.float32(255.0) + np.float32(0.5)).astype(np.float64)
            found.append(float(10.0 * np.log10(255.0**2 / np.mean((rounded - clean) ** 2))))
            structural_similarity(rounded, clean, data_range=255.0, channel_axis=2, **window)  # type: ignore[no-untyped-call]
    return found


def scoring(work: Score, machine: Machine, test: str, data: Path | None) -> dict[str, str]:
    """Images of a test set per second, wall and processor time; networks have random weights, the official one plain.

    The first three images of the set are scored.
    """
    set_images = find(test).load(data, work.fit.channels)[:IMAGES]
    if work.fit.method.keeps_images:  # minutes for whole images
        set_images = [_centre(one) for one in set_images]
    job = structs.replace(work, test=test, repeats=1, padding="square")
    net, plain = None, None
    if work.fit.method.learns():
        net, plain = (build(work.fit.method, work.fit.planes, 1.0, 0) for _ in range(2))
        net = machine.place(net, precision="float32").eval()
        without_shortcuts(plain.to(machine.device).eval())
    times: dict[str, list[tuple[float, float]]] = {"official": [], "ours": []}
    for _ in range(TURNS):
        expected, seconds = _timed(lambda: official_loop(job, plain, set_images, machine.device))
        times["official"].append(seconds)
        rows, seconds = _timed(lambda: evaluate(job, net, set_images, machine))
        times["ours"].append(seconds)
    wall, cpu = ({name: statistics.median(t[i] for t in all_) for name, all_ in times.items()} for i in (0, 1))
    apart = max(abs(row.value("psnr") - value) for row, value in zip(rows, expected, strict=True))
    return {
        "method": work.fit.name,
        "noise": work.fit.noise.name,
        "test": test,
        "official images/s": f"{len(set_images) / wall['official']:.3f}",
        "our images/s": f"{len(set_images) / wall['ours']:.3f}",
        "ratio": f"{wall['official'] / wall['ours']:.2f}",
        "of processor time": f"{cpu['official'] / cpu['ours']:.2f}",
        "scores differ by (dB)": f"{apart:.1e}",
        "machine": f"{machine.device}, {machine.threads} threads",
    }


def _centre(set_image: SetImage) -> SetImage:
    pixels = centre_crop(set_image.pixels, 192)
    return SetImage.decoded(set_image.name, set_image.path, pixels, set_image.channels)


def _timed(run: Any) -> tuple[Any, tuple[float, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = run()
    return found, (time.perf_counter() - wall, time.process_time() - cpu)
