"""A user's own images that are too large to be held: strips, smaller copies, files that stay incomplete."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from support.cli import CHECKOUT, ROOT
from support.own_files import names, one, returned, tiff, values

from bench.datasets.formats.image_format import opened
from bench.datasets.own import own_file
from bench.datasets.own.collection import collect


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "tile": (64, 64)}], ids=["plain", "tiled"])
def test_strips_of_a_large_image_are_written_one_by_one(
    options: dict[str, Any], dtype: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = values("uint16", 2, 300, 200)
    own = one(tiff(tmp_path / "a.tif", array, metadata={"axes": "CYX"}, **options))
    monkeypatch.setattr(own_file, "IN_MEMORY", 1000)
    monkeypatch.setattr(own_file, "BLOCK", 4000)
    with own.writing(tmp_path / "out" / "a.tif", dtype if dtype == "float32" else "keep") as output:
        for top in range(0, 300, 70):
            output.put(0, top, own.frame(0, slice(top, top + 70)))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "a.tif"), array.astype(dtype))
    assert names(tmp_path / "out") == ["a.tif"]


LARGE = """
import sys
from pathlib import Path
from support.hostile import peak
from bench.datasets.own.collection import collect
before = peak()
(own,) = collect([Path(sys.argv[1])]).files
with own.writing(Path(sys.argv[2])) as output:
    for top in range(0, own.sides[0], 256):
        output.put(0, top, own.frame(0, slice(top, top + 256)))
print((peak() - before) / own.array.nbytes)
"""


@pytest.mark.slow
def test_a_large_image_is_never_held_as_floats(tmp_path: Path) -> None:
    """The mapped pages of input and output count, each once; the image in float32 would be twice as large."""
    rows = np.random.default_rng(0).integers(98, 4071, (64, 12000)).astype(np.uint16)
    tiff(path := tmp_path / "a.tif", np.tile(rows, (188, 1)))
    argv = [sys.executable, "-c", LARGE, str(path), str(tmp_path / "out" / "a.tif")]
    here = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(CHECKOUT / "tests")])}
    found = subprocess.run(argv, capture_output=True, text=True, check=True, env=os.environ | here)
    assert float(found.stdout) < 3.0
    assert (tmp_path / "out" / "a.tif").read_bytes() == path.read_bytes()


def test_smaller_copies_are_named_and_several_images_refused(tmp_path: Path) -> None:
    array = values("uint16", 64, 48)
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as file:
        file.write(array, subifds=1, metadata=None)
        file.write(array[::2, ::2], subfiletype=1, metadata=None)
    with tifffile.TiffWriter(tmp_path / "preview.tif") as file:
        file.write(array, metadata=None)
        file.write(array[::4, ::4], subfiletype=1, metadata=None)
    with tifffile.TiffWriter(tmp_path / "two.tif") as file:
        file.write(array, metadata=None)
        file.write(array[:32], metadata=None)
    found = collect([tmp_path])
    assert [own.name for own in found.files] == ["preview.tif", "pyramid.tif"]
    assert sum("smaller copies" in line for line in found.lines()) == 2
    assert "2 images (64x48, 32x48) in one file" in found.unused[0]
    for own in found.files:
        np.testing.assert_array_equal(opened(returned(own, tmp_path / "out")).array, array)


def test_a_file_of_which_rows_are_missing_is_not_written(tmp_path: Path) -> None:
    own = one(tiff(tmp_path / "a.tif", values("uint16", 12, 16)))
    with pytest.raises(ValueError, match="5 rows"), own.writing(tmp_path / "out.tif") as output:
        output.put(0, 0, own.frame(0, slice(0, 5)))
    assert names(tmp_path) == ["a.tif"]
