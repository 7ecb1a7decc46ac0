"""An ONNX file described as a model of bioimage.io, and the model run by bioimageio.core; needs the extra."""

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from msgspec import Struct
from PIL import Image as Pillow

from ..datasets.errors import InputError, few
from ..datasets.sets.own_folder import short_name
from ..protocol.units import Fit
from ..store.record import Record
from ..store.rows import infinite
from .onnx_file import INPUT, OPSET, OUTPUT
from .plain_function import Batch, least_side

PAPER = "Wang et al., Blind2Unblind: Self-Supervised Image Denoising with Visible Blind Spots, CVPR 2022"
ADDRESS = "https://arxiv.org/abs/2203.06967"
COLOURS = {
    1: ["gray"],
    3: ["red", "green", "blue"],
    4: ["row0_column0", "row0_column1", "row1_column0", "row1_column1"],
}


class Model(Struct):
    """What a package says of a trained method."""

    fit: Fit
    record: Record
    scores: Sequence[Record]  # of the fit
    tolerance: float  # in 0..1, for whoever runs it back

    @property
    def name(self) -> str:
        """Such as `Denoising by b2u (gauss25 seed 0)`, in the few letters that are allowed."""
        made = f"Denoising by {self.fit.name} ({self.fit.noise.name} seed {self.fit.seed})"
        return re.sub(r"[^A-Za-z0-9_+() -]", "-", made)[:128]

    @property
    def description(self) -> str:
        """One sentence."""
        fit, external = self.fit, self.record.external
        trained = f"trained for {fit.steps:,} steps on {short_name(fit.train)}"
        made = f"with the external weights {external.file}" if external else trained
        paper, noise = fit.method.card.paper, fit.noise.name
        return f"{fit.name} ({paper}), {made}, denoises images of {fit.planes} channels in 0..1 with noise {noise}."

    def rdf(self) -> dict[str, Any]:
        """The description, rdf.yaml, of the files that `write` puts beside it."""
        fit, least = self.fit, least_side(self.fit)
        version = import_module("bioimageio.spec.model.v0_5").ModelDescr.implemented_format_version
        axes = [{"type": "batch"}, {"type": "channel", "channel_names": COLOURS[fit.planes]}]
        free = {"min": least, "step": fit.method.multiple}
        values = {"type": "float32"}
        return {
            "type": "model",
            "format_version": version,
            "version": "0.1.0",
            "name": self.name,
            "description": self.description,
            "authors": [{"name": "blind2unblind-bench"}],
            "cite": [{"text": f"Method: {fit.method.card.paper}. Protocol: {PAPER}", "url": ADDRESS}],
            "license": "MIT",
            "tags": ["denoising", "image-restoration", "self-supervised", "onnx", "2d", fit.name],
            "documentation": {"source": "README.md"},
            "covers": [{"source": "cover.png"}],
            "inputs": [
                {
                    "id": INPUT,
                    "description": "the noisy image in 0..1, not clipped",
                    "axes": [*axes, *({"type": "space", "id": axis, "size": free} for axis in "yx")],
                    "data": values,
                    "test_tensor": {"source": f"{INPUT}.npy"},
                }
            ],
            "outputs": [
                {
                    "id": OUTPUT,
                    "description": f"the denoised image: {fit.method.primary().name} of {fit.name}",
                    "axes": [
                        *axes,
                        *(
                            {"type": "space", "id": axis, "size": {"tensor_id": INPUT, "axis_id": axis}}
                            for axis in "yx"
                        ),
                    ],
                    "data": values,
                    "test_tensor": {"source": f"{OUTPUT}.npy"},
                }
            ],
            "weights": {"onnx": {"source": "network.onnx", "opset_version": OPSET}},
            "config": {
                "bioimageio": {
                    "reproducibility_tolerance": [{"relative_tolerance": 1e-3, "absolute_tolerance": self.tolerance}]
                }
            },
        }

    def readme(self) -> str:
        """What the record says of training and scores."""
        fit, multiple = self.fit, self.fit.method.multiple
        facts = self._method() | ({} if self.record.external else self._training())
        facts |= {"command": f"`{self.record.label.get('command', '')}`", "record": self.record.key}
        noise = "with this noise" if fit.noise.family.simulated else "without added noise"
        rows = "\n".join(f"| {name} | {value.replace('|', chr(92) + '|')} |" for name, value in facts.items() if value)
        return f"""# {self.name}

{self.description}

Input: float32 [batch, {fit.planes} channels, height, width], the noisy image in 0..1 (8-bit values divided by
255), not clipped. Both sides are multiples of {multiple}: pad with the reflected image and crop the output.
Output: the same shape. The network suits noise like that of its training, and no other.

## Origin

| | |
|---|---|
{rows}

## Validation

{self._validation()}

`{INPUT}.npy` is a photograph of scikit-image {noise}, and `{OUTPUT}.npy` what blind2unblind-bench makes of it.

## Licence

The code that made it is MIT. The images that it was trained on have terms of their own, which may hold for the
network, too.
"""

    def _method(self) -> dict[str, str]:
        method, card = self.fit.method, self.fit.method.card
        return {
            "method": f"{self.fit.name}: {(type(method).__doc__ or '').strip().partition(chr(10))[0]}",
            "paper": card.paper,
            "equations": card.equations,
            "differs from the paper": card.deviations,
            "output": method.primary().name,
            "network passes": str(method.passes()[method.primary().name]),
            "what it knows of the noise": method.knowledge,
            "noise": self.fit.noise.name,
        }

    def _training(self) -> dict[str, str]:
        fit, label = self.fit, self.record.label
        return {
            "training set": short_name(fit.train),
            "suite and preset": f"{label['suite']} [{label['preset']}]",
            "steps": f"{fit.steps:,} of {fit.batch} crops of {fit.crop}x{fit.crop} pixels",
            "seed": str(fit.seed),
        }

    def _validation(self) -> str:
        primary = self.fit.method.primary().name
        rows = []
        for score in self.scores:
            if score.state == "done":
                means = score.result["outputs"][primary]
                numbers = ", ".join(f"{name} {infinite(means[name]):.4g}" for name in means if name != "images")
                rows.append(
                    f"| {short_name(score.label['test'])} | {score.identity['noise']} | {means['images']} | {numbers} |"
                )
        if not rows:
            return "No test set was scored with it."
        return "\n".join(["| test set | noise | images | mean scores |", "|---|---|---|---|", *rows])


def write(model: Model, onnx: Path, noisy: Batch, denoised: Batch, path: Path) -> None:
    """The package as a zip file, with an example [1, C, H, H] and its output; InputError if it is not a valid model."""
    spec: Any = import_module("bioimageio.spec")
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "network.onnx").write_bytes(onnx.read_bytes())
        (folder / "README.md").write_text(model.readme(), encoding="utf-8")
        np.save(folder / f"{INPUT}.npy", noisy)
        np.save(folder / f"{OUTPUT}.npy", denoised)
        Pillow.fromarray(_cover(noisy, denoised)).save(folder / "cover.png")
        built = spec.build_description(model.rdf(), context=spec.ValidationContext(root=folder))
        if isinstance(built, spec.InvalidDescr):
            wrong = [f"{error.loc}: {error.msg}" for error in built.validation_summary.errors]
            raise InputError(f"bioimageio.spec refuses the model: {few(wrong, '; ')}")
        spec.save_bioimageio_package(built, output_path=path)


def _cover(noisy: Batch, denoised: Batch) -> Any:
    """Noisy and denoised side by side as bytes; planes of a mosaic as their mean."""
    both = np.concatenate([noisy, denoised], axis=3)[0].transpose(1, 2, 0)
    shown = both if both.shape[2] == 3 else both.mean(2)
    return (shown.clip(0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def run(path: Path, noisy: Batch) -> Batch:
    """What bioimageio.core makes of [B, C, H, W] with the package."""
    core: Any = import_module("bioimageio.core")
    sample = core.predict(model=path, inputs=noisy)
    denoised: Batch = sample.members[OUTPUT].data.to_numpy()
    return denoised


def failures(path: Path) -> list[str]:
    """What the tests of bioimageio.core say against the package, which run it on its example and on other sizes."""
    core: Any = import_module("bioimageio.core")
    summary = core.test_model(path, weight_format="onnx")
    return (
        []
        if summary.status == "passed"
        else [f"{error.loc}: {error.msg}" for error in summary.errors] or [summary.status]
    )
