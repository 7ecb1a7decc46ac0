"""A run goes on without images that cannot be used, where it is asked to; smaller crops use small images."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from support.cli import bench

from bench.datasets.errors import InputError
from bench.datasets.sets.digests import SetDigests
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.runner.execution import Sets
from bench.store.match import request_of_label


def save(path: Path, side: int, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Pillow.fromarray(pixels).save(path)
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with two images that can be used, and five that cannot."""
    (folder := tmp_path / "mixed").mkdir()
    for seed, name in enumerate("ab"):
        save(folder / f"{name}.png", 64, seed)
    save(folder / "small.png", 10)
    (folder / "text.png").write_text("text")
    (folder / "empty.png").touch()
    (folder / "link.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "pipe.png")
    return folder


def records(store: Path, kind: str) -> list[dict[str, object]]:
    return [json.loads(path.read_bytes()) for path in sorted((store / kind).rglob("*.json"))]


def test_a_run_goes_on_without_what_cannot_be_used(mixed: Path, tmp_path: Path) -> None:
    asked = ("--noise", "gauss25", "--test-sets", f"folder:{mixed}", "--store", tmp_path / "s")
    refused = bench("run", "--methods", "noisy", *asked)
    assert refused.code == 2
    assert "empty.png" in refused.err
    assert "--skip-unusable" in refused.err
    result = bench("run", "--methods", "noisy", *asked, "--skip-unusable")
    assert result.code == 0, result.err
    assert "5 images of folder mixed are left out" in result.err
    noisy = next(one for one in records(tmp_path / "s", "scores") if str(one["title"]).startswith("noisy"))
    assert "empty.png" in noisy["result"]["warnings"][0]  # type: ignore[index]
    again = bench("tables", "--store", tmp_path / "s", "--format", "json", "--long")
    assert again.code == 0
    assert "done" in again.out


def test_the_digest_is_that_of_the_images_used(mixed: Path) -> None:
    skipped = SetDigests()(f"usable:{mixed}", 3)
    for name in ("small", "text", "empty", "link", "pipe"):
        (mixed / f"{name}.png").unlink()
    assert skipped == SetDigests()(f"folder:{mixed}", 3)


def test_training_leaves_out_what_is_smaller_than_the_crop(mixed: Path) -> None:
    save(mixed / "a.png", 48)
    request = Request(methods=("n2c",), noises=("gauss25",), train=f"folder:{mixed}", crop=64, skip_unusable=True)
    fit = next(cell.fit for cell in make(request).cells if cell.name == "n2c")
    sets = Sets(None)
    assert [image.name for image in sets.used_by(fit)] == ["b"]
    assert "48x48, expected 64" in sets.left_out(fit)[0]
    smaller = next(c.fit for c in make(Request(**_fields(request) | {"crop": 32})).cells if c.name == "n2c")
    assert [image.name for image in sets.used_by(smaller)] == ["a", "b"]
    assert smaller.identity["train"] != fit.identity["train"]


def _fields(request: Request) -> dict[str, object]:
    return {name: getattr(request, name) for name in request.__struct_fields__}


def test_a_smaller_crop_is_part_of_the_identity_and_of_the_label() -> None:
    request = Request(methods=("n2c",), noises=("gauss25",), crop=32, skip_unusable=True)
    assert request.label == "mini, crop=32, skip-unusable=yes, noise=gauss25"
    assert request_of_label("synthetic", request.label).label == request.label
    fit = next(cell.fit for cell in make(request).cells if cell.name == "n2c")
    assert fit.identity["crop"] == fit.crop == 32


def test_a_small_training_image_is_named_with_what_can_be_done(tmp_path: Path) -> None:
    (folder := tmp_path / "photos").mkdir()
    save(folder / "small.png", 20)
    asked = ("run", "--methods", "n2c", "--noise", "gauss25", "--steps", 1, "--train", f"folder:{folder}")
    result = bench(*asked, "--store", tmp_path / "s")
    assert (result.code, "small.png" in result.err, "--crop" in result.err) == (2, True, True)


def test_a_folder_without_a_usable_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    name = f"usable:{tmp_path}"
    assert len(SetDigests()(name, 3)) == 64  # tables can be made
    with pytest.raises(InputError, match="no image of 1 can be used"):
        Sets(None)(name, 3)


def test_tables_work_when_a_folder_of_usable_images_is_gone(mixed: Path) -> None:
    digests, name = SetDigests(), f"usable:{mixed}"
    before = digests(name, 3, 32)
    mixed.rename(mixed.with_name("elsewhere"))
    again = SetDigests(digests.folders)
    assert again(name, 3, 32) == before
    assert again(name, 3, 64) != before  # another crop, of which there is no record
    assert again.folders == digests.folders
