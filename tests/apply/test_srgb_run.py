"""Suite srgb through the commands: SIDD's sRGB blocks and a pack, the small preset, and submissions to SIDD and DND."""

import csv
from base64 import b64decode
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy.io import loadmat, savemat
from support.cli import Result, bench, line, lines, photos, refused
from support.matlab import clean_blocks, dnd, noisy_blocks

from bench.compute.machine import Machine
from bench.datasets.formats.pack import Writer
from bench.datasets.sets import catalogue
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.runner.execution import load
from bench.store.store import Store

pytestmark = pytest.mark.usefixtures("narrow")
SHAPE = (1, 2, 48, 48, 3)
BOXES = [[[1, 1, 32, 32], [9, 17, 40, 48]], [[5, 2, 36, 33], [17, 25, 48, 56]]]
COUNTS = {"sidd_val_srgb": 2, "dnd": 4}
WHAT = ("--suite", "srgb", "--preset", "reduced", "--steps", "1", "--crop", "32")
ASKED = (*WHAT, "--precision", "float32", "--threads", "1")


clean, noisy = partial(clean_blocks, rows=-3), partial(noisy_blocks, rows=-3)


def stored(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (values * 255 + 0.5).astype(np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _few_images() -> Iterator[None]:
    """The catalogue knows as many as there are; the developer's BENCH_DATA and BENCH_STORE play no part."""
    known = catalogue.catalogue()
    fewer = {name: replace(known[name], count=count) for name, count in COUNTS.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "catalogue", lambda: known | fewer)
        patch.delenv("BENCH_DATA", raising=False)
        patch.delenv("BENCH_STORE", raising=False)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Result]:
    """(data folder, store, result) of a run on files as SIDD and DND have them."""
    folder = tmp_path_factory.mktemp("srgb")
    data, store = folder / "data", folder / "store"
    (data / "sidd").mkdir(parents=True)
    files = {"ValidationNoisyBlocksSrgb": noisy(*SHAPE), "ValidationGtBlocksSrgb": clean(*SHAPE)}
    for name, values in (files | {"BenchmarkNoisyBlocksSrgb": noisy(*SHAPE, seed=9)}).items():
        savemat(data / "sidd" / f"{name}.mat", {name: stored(values)}, do_compression=True)
    with Writer(data / "sidd_medium_srgb", "|u1") as writer:
        for frame in ("010", "011"):
            writer.append(f"0001_s001/noisy{frame}", stored(noisy(64, 64, 3, seed=int(frame))))
            writer.append(f"0001_s001/clean{frame}", stored(clean(64, 64, 3, seed=int(frame))))
        writer.finish("a test")
    dnd(data / "dnd_2017", BOXES, [noisy(48, 56, 3, seed=1), noisy(48, 56, 3, seed=2)])
    return data, store, bench("run", "--methods", "n2n,ap-bsn", *ASKED, "--data", data, "--store", store)


def test_all_of_a_run_is_done(done: tuple[Path, Path, Result]) -> None:
    _, store, result = done
    assert result.code == 0, result.err
    found = lines(*WHAT, "--store", store)
    for method in ("noisy", "blur", "n2n"):
        one = line(found, method=method, test="sidd_val_srgb", noise="captured")
        assert (one["state"], one["images"]) == ("done", 2)
    outputs = [one["output"] for one in found if one["method"] == "ap-bsn" and one["state"] == "done"]
    assert sorted(outputs) == ["with R3", "without R3"]
    error = (stored(noisy(*SHAPE)) - stored(clean(*SHAPE)).astype(float)).reshape(2, -1)
    expected = np.mean(10 * np.log10(255**2 / (error**2).mean(1)))
    assert line(found, method="noisy")["metrics"]["psnr"] == pytest.approx(expected, abs=0.01)


def test_what_others_published_is_shown_on_request(done: tuple[Path, Path, Result]) -> None:
    found = lines(*WHAT, "--published", "all", "--store", done[1])
    one = next(one for one in found if one["other"] and (one["method"], one["test"]) == ("tbsn", "dnd"))
    assert (one["other"]["level"], one["published"]) == ("note", None)


def test_the_small_preset_trains_on_correlated_noise(tmp_path: Path) -> None:
    train = photos(tmp_path / "train", "astronaut", height=72, width=72)
    tests = photos(tmp_path / "tests", "chelsea")
    where = ("--train", f"folder:{train}", "--test-sets", f"folder:{tests}")
    methods = "n2c,n2v,nbr2nbr,b2u,ap-bsn"
    result = bench("run", "--suite", "srgb", "--methods", methods, *where, "--steps", "2", "--store", tmp_path / "s")
    assert result.code == 0, result.err
    found = [one for one in lines("--suite", "srgb", "--store", tmp_path / "s") if one["state"] == "done"]
    assert {one["method"] for one in found} == {"noisy", "blur", *methods.split(",")}
    assert {one["noise"] for one in found} == {"gauss25:correlated"}


# ---- submissions


def submit(done: tuple[Path, Path, Result], *more: object) -> Result:
    return bench("submit", *ASKED, "--store", done[1], *more)


def trained(done: tuple[Path, Path, Result], machine: Machine, **asked: object) -> torch.nn.Module:
    """The network of a cell."""
    request = Request(suite="srgb", preset="reduced", steps=1, crop=32, **asked)  # type: ignore[arg-type]
    (cell,) = (cell for cell in make(request).cells if cell.name in request.methods)
    net, _ = load(cell.fit, Store(done[1]), machine)
    assert net is not None
    return net


def test_a_submission_to_sidd_has_rounded_bytes(
    done: tuple[Path, Path, Result], tmp_path: Path, machine: Machine
) -> None:
    target = tmp_path / "SubmitSrgb.csv"
    asked = ("--methods", "n2n", "--output", "denoised", "--blocks", done[0] / "sidd", "--out", target)
    result = submit(done, *asked)
    assert (result.code, result.out) == (0, f"{target}\n"), result.err
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["ID"] for row in rows] == ["0", "1"]
    net = trained(done, machine, methods=("n2n",))
    for row, block in zip(rows, stored(noisy(*SHAPE, seed=9))[0], strict=True):
        padded = np.pad(block / np.float32(255), ((0, 16), (0, 16), (0, 0)), mode="reflect")
        with torch.no_grad():
            made = net(torch.from_numpy(padded).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()[:48, :48]
        found = np.frombuffer(b64decode(row["BLOCK"]), np.uint8).reshape(48, 48, 3)
        np.testing.assert_array_equal(found, stored(np.clip(made, 0, 1)))


def test_a_submission_to_dnd_has_a_cell_of_boxes_for_each_photograph(
    done: tuple[Path, Path, Result], tmp_path: Path, machine: Machine
) -> None:
    """From weights that were trained on DND's own noisy images."""
    own = ("--train", "dnd", "--noise", "none")
    ran = bench("run", "--methods", "ap-bsn", *ASKED, *own, "--data", done[0], "--store", done[1])
    assert ran.code == 0, ran.err
    asked = (*own, "--methods", "ap-bsn", "--output", "without R3", "--blocks", done[0] / "dnd_2017")
    result = submit(done, *asked, "--out", tmp_path / "new")
    assert (result.code, result.out) == (0, f"{tmp_path / 'new'}\n"), result.err
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["0001.mat", "0002.mat"]
    net = trained(done, machine, methods=("ap-bsn",), train="dnd", noises=("none",))
    for number, boxes in enumerate(BOXES, 1):
        file = loadmat(tmp_path / "new" / f"{number:04}.mat")
        assert (file["Idenoised"].shape, file["Idenoised"].dtype) == ((1, 2), object)
        assert (file["israw"].item(), file["eval_version"].item()) == (0, "1.0")
        for found, (top, left, bottom, right) in zip(file["Idenoised"][0], boxes, strict=True):
            crop = noisy(48, 56, 3, seed=number)[top - 1 : bottom, left - 1 : right]
            y, x0 = torch.from_numpy(crop.copy()).permute(2, 0, 1)[None], np.empty_like(crop)
            for i, j in np.ndindex(2, 2):
                with torch.no_grad():
                    x0[i::2, j::2] = net(y[:, :, i::2, j::2])[0, :3].permute(1, 2, 0).numpy()
            np.testing.assert_allclose(found, np.clip(x0, 0, 1), atol=1e-4)


def test_what_cannot_be_submitted_to_dnd_is_refused(done: tuple[Path, Path, Result], tmp_path: Path) -> None:
    folder = done[0] / "dnd_2017"
    asked = ("submit", *ASKED, "--store", done[1], "--methods", "n2n", "--output", "denoised", "--blocks", folder)
    assert "there already" in refused(*asked, "--out", folder / "images_srgb")
    assert "no folder" in refused(*asked, "--out", tmp_path / "nowhere" / "new")
    raw = ("submit", "--suite", "raw", "--preset", "reduced", "--methods", "bm3d", "--output", "denoised")
    assert "--suite srgb" in refused(*raw, "--blocks", folder, "--store", done[1], "--out", tmp_path / "new")
    assert not list(tmp_path.iterdir())
