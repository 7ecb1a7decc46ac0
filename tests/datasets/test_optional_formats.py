"""Formats behind extras: OME-Zarr there and back, and microscopes' files through a stand-in of bioio."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from bench.datasets.formats import ome_zarr
from bench.datasets.formats.image_format import opened
from bench.datasets.own.collection import collect
from bench.datasets.own.own_file import OwnFile


def values(*shape: int) -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(98, 4071, shape).astype(np.uint16)


def copied(own: OwnFile, path: Path, dtype: Any = "keep") -> None:
    own.write(path, (own.frame(i) for i in range(own.count)), dtype)


@pytest.mark.parametrize(("module", "name"), [("zarr", "a.zarr"), ("bioio", "a.czi")])
def test_what_is_missing_is_named(module: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.czi").write_text("x")
    np.save(tmp_path / "good.npy", values(12, 16))
    found = collect([tmp_path / "good.npy", tmp_path / name])
    assert f"pip install 'blind2unblind-bench[{module}]'" in found.unused[0]


# ---- Zarr


def store(path: Path, array: NDArray[Any], version: int) -> Path:
    """An image of OME-Zarr with a smaller copy; version 2 or 3 of Zarr."""
    zarr = pytest.importorskip("zarr", reason="zarr, which users install themselves, is not installed")
    axes = [{"name": name, "type": "space" if name in "zyx" else "channel"} for name in "czyx"]
    scale = [{"type": "scale", "scale": [1.0, 0.5, 0.1, 0.1]}]
    levels = [{"path": name, "coordinateTransformations": scale} for name in ("0", "1")]
    about: dict[str, Any] = {"multiscales": [{"axes": axes, "datasets": levels, "name": "cells"}], "omero": {"id": 1}}
    group = zarr.create_group(path, zarr_format=version, attributes=about if version == 2 else {"ome": about})
    chunks = (1, 1, *(max(1, side // 2) for side in array.shape[2:]))
    group.create_array("0", data=array, chunks=chunks)
    group.create_array("1", data=array[..., ::2, ::2])
    return path


@pytest.mark.parametrize("in_memory", [2**30, 0])
@pytest.mark.parametrize("dtype", ["keep", "float32"])
@pytest.mark.parametrize("version", [2, 3])
def test_an_ome_zarr_comes_back_with_axes_chunks_and_metadata(
    version: int, dtype: Any, in_memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zarr = pytest.importorskip("zarr", reason="zarr, which users install themselves, is not installed")
    monkeypatch.setattr(ome_zarr, "IN_MEMORY", in_memory)
    monkeypatch.setattr(ome_zarr, "SLAB", 1000)
    array = values(2, 3, 12, 16)
    path = store(tmp_path / "a.zarr", array, version)
    found = collect([tmp_path])
    (own,) = found.files
    assert (own.axes, own.count, own.channels, own.name) == ("CZYX", 3, 2, "a.zarr")
    assert any("smaller copies" in line for line in found.lines())
    out = tmp_path / "out" / own.output(dtype)
    copied(own, out, dtype)
    copied(own, tmp_path / "again" / "a.zarr", dtype)
    np.testing.assert_array_equal(opened(out).array, array.astype(np.uint16 if dtype == "keep" else np.float32))
    new, old = zarr.open(out, mode="r"), zarr.open(path, mode="r")
    assert (new["0"].chunks, new.metadata.zarr_format) == (old["0"].chunks, version)
    about, before = (dict(one.attrs.asdict()) for one in (new, old))
    about, before = about.get("ome", about), before.get("ome", before)
    assert about["omero"] == before["omero"]
    assert about["multiscales"][0]["datasets"] == before["multiscales"][0]["datasets"][:1]
    own.write(out, (own.frame(i) for i in range(own.count)), dtype, overwrite=True)
    assert sorted(one.name for one in out.parent.iterdir()) == ["a.zarr"]


def test_a_plain_array_of_zarr_is_an_image(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", reason="zarr, which users install themselves, is not installed")
    array = values(12, 16)
    zarr.create_array(tmp_path / "a.zarr", data=array)
    (own,) = collect([tmp_path / "a.zarr"]).files
    copied(own, tmp_path / "out" / "a.zarr")
    np.testing.assert_array_equal(opened(tmp_path / "out" / "a.zarr").array, array)


# ---- bioio


class FakeImage:
    """What bioio gives of a file."""

    scenes: ClassVar[dict[str, NDArray[Any]]] = {}
    physical_pixel_sizes = SimpleNamespace(Z=None, Y=0.25, X=0.25)

    def __init__(self, path: Path) -> None:
        self.data = np.empty(0)

    def set_scene(self, name: str) -> None:
        self.data = self.scenes[name]


@pytest.fixture
def microscope(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    module = ModuleType("bioio")
    module.BioImage = FakeImage  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bioio", module)
    (path := tmp_path / "a.czi").write_text("x")
    return path


def test_a_microscopes_file_becomes_an_ome_tiff(microscope: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = values(1, 2, 3, 12, 16)
    monkeypatch.setattr(FakeImage, "scenes", {"one": array})
    (own,) = collect([microscope]).files
    assert (own.axes, own.count, own.channels, own.output()) == ("CZYX", 3, 2, "a.tif")
    copied(own, microscope.with_name("out") / own.output())
    with tifffile.TiffFile(microscope.with_name("out") / "a.tif") as file:
        assert (file.series[0].axes, file.is_ome) == ("CZYX", True)
        np.testing.assert_array_equal(file.asarray(), array[0])
        pixels = tifffile.xml2dict(str(file.ome_metadata))["OME"]["Image"]["Pixels"]
        assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == (0.25, "µm")


def test_scenes_of_one_size_are_frames_and_others_are_refused(
    microscope: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(FakeImage, "scenes", {"one": values(1, 1, 1, 12, 16), "two": values(1, 1, 1, 12, 16)})
    found = collect([microscope])
    assert (found.files[0].axes, found.files[0].count) == ("TYX", 2)
    assert any("2 scenes" in line for line in found.lines())
    monkeypatch.setattr(FakeImage, "scenes", {"one": values(1, 1, 1, 12, 16), "two": values(1, 1, 1, 12, 18)})
    (other := tmp_path / "b.czi").write_text("x")
    np.save(tmp_path / "a.npy", values(12, 16))
    assert "scenes of several sizes" in collect([other, tmp_path / "a.npy"]).unused[0]
