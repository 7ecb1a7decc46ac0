"""Figures from a small store: the right pixels under the right labels, reasons where something is missing."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from matplotlib.figure import Figure
from msgspec import structs
from PIL import Image as Pillow
from support.cli import altered_suite, bench, file_of, narrow_networks, photos, record
from support.figures import check_text

from bench.compute.machine import Machine
from bench.compute.noisy_images import centre_crop
from bench.compute.scoring import compare
from bench.datasets.errors import InputError
from bench.datasets.noise.model import parse
from bench.datasets.noise.named import named
from bench.datasets.sets.find import find
from bench.protocol.plan import BASELINES, make
from bench.protocol.request import Request
from bench.protocol.scoring import Scoring
from bench.report.figure_entries import Box, Entry
from bench.report.figures import Inputs, Made, Skipped, SkippedError, cost, crops, draw, progress
from bench.report.images import images_of, listed
from bench.report.style import DPI, WIDTH
from bench.report.tables import request_of
from bench.runner.execution import Sets
from bench.store.store import Store
from bench.store.tensors import read_tensors

pytestmark = pytest.mark.usefixtures("narrow")
ROWS = ["Noisy input", "Gaussian blur, oracle width", "Baseline, N2C", "CBM3D", "N2V*"]
B2U = ["Blind2Unblind (visible)", "Blind2Unblind (blind)", "Blind2Unblind (weighted)"]
INSIDE = Box(image="coffee", top=16, left=24, side=16)  # of what N2V denoised


class Done(NamedTuple):
    """A finished run, and what was asked for."""

    store: Path
    test: str
    request: Request


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Networks of two steps; N2V scored on the centre only; BM3D, whose images are kept."""
    folder = tmp_path_factory.mktemp("figures")
    budgets = "[presets.mini.budgets.self2self]"
    suite = altered_suite(
        folder, f"{budgets}\nsteps = 150", f"[presets.mini.budgets.n2v]\ncentre_crop = 24\n{budgets}\nsteps = 150"
    )
    test = f"folder:{photos(folder / 'tests', 'astronaut', 'coffee')}"
    request = Request(suite=str(suite), noises=("gauss25",), tests=(test,), steps=2)
    argv = ("--suite", suite, "--noise", "gauss25", "--steps", 2, "--test-sets", test, "--store", folder / "store")
    with narrow_networks():
        result = bench("run", "--methods", "b2u,n2c,n2v,bm3d", *argv)
    assert result.code == 0, result.err
    return Done(folder / "store", test, request)


@pytest.fixture
def copy(done: Done, tmp_path: Path) -> Done:
    """The same with a store that may be changed."""
    return done._replace(store=shutil.copytree(done.store, tmp_path / "store"))


def inputs(done: Done) -> Inputs:
    store = Store(done.store)
    return Inputs(make(request_of(store, done.request, True)), store, Machine("cpu", "float32", 1), Sets(None))


def entry(done: Done, box: Box = INSIDE, **changes: Any) -> Entry:
    known: dict[str, Any] = {"name": "mine", "title": "Mine", "kind": "crops", "suite": "synthetic", "noise": "gauss25"}
    return Entry(**(known | {"boxes": {done.test: box}} | changes))


def steps(done: Done) -> Entry:
    return entry(done, kind="steps", method="b2u", outputs=("blind", "visible", "weighted"))


def labels(figure: Figure) -> list[str]:
    """What is written under the images, in one line each."""
    return [" ".join(text.get_text().split()) for axes in figure.axes for text in axes.texts]


def panel(figure: Figure, label: str) -> np.ndarray:
    """The pixels that imshow was given for a label."""
    (axes,) = (axes for axes in figure.axes if " ".join(axes.texts[0].get_text().split()).startswith(label))
    return np.asarray(axes.images[0].get_array())


def caption(figure: Figure) -> str:
    return " ".join(figure.texts[0].get_text().split())


def clean(done: Done, name: str = "coffee") -> np.ndarray:
    set_image = next(set_image for set_image in find(done.test).load(None, 3) if set_image.name == name)
    return set_image.pixels


def inside(image: np.ndarray) -> np.ndarray:
    return np.clip(image[16:32, 24:40], 0, 1)


# ---- crops


def test_crops_show_every_row_between_the_noisy_and_the_clean_one(done: Done) -> None:
    figure = crops(inputs(done), entry(done), done.test)
    whole, *below = labels(figure)
    assert whole == "Whole image"
    assert [label.rpartition(" dB")[0].rpartition(" ")[0] for label in below[:-1]] == ROWS + B2U
    assert below[-1] == "Clean"
    assert len(figure.axes) == len(ROWS + B2U) + 2


def test_noisy_and_clean_panels_are_the_pixels_that_were_scored(done: Done) -> None:
    figure = crops(inputs(done), entry(done), done.test)
    pixels = clean(done)
    unit = pixels.astype(np.float32) / np.float32(255)
    set_image = next(set_image for set_image in find(done.test).load(None, 3) if set_image.name == "coffee")
    noisy, _ = named(parse("gauss25"), unit, set_image.digest, 0)
    np.testing.assert_array_equal(panel(figure, "Noisy input"), inside(noisy))
    np.testing.assert_array_equal(np.asarray(figure.axes[-1].images[0].get_array()), inside(unit))
    np.testing.assert_array_equal(np.asarray(figure.axes[0].images[0].get_array()), unit)


@pytest.mark.parametrize(("label", "method", "output"), [
    ("Baseline, N2C", "n2c", "denoised"), ("Blind2Unblind (blind)", "b2u", "blind"), ("N2V", "n2v", "denoised"),
])  # fmt: skip
def test_images_have_the_psnr_of_the_record(done: Done, label: str, method: str, output: str) -> None:
    given = inputs(done)
    image = images_of(*given, "gauss25", done.test, "coffee")[label]
    side = 24 if method == "n2v" else 0
    psnr = compare(centre_crop(image, side), centre_crop(clean(done), side), Scoring())["psnr"]
    rows = map(json.loads, file_of(done.store, "score", f"{method} gauss25", ".rows.jsonl").read_text().splitlines())
    recorded = next(row["psnr"] for row in rows if (row["image"], row["output"]) == ("coffee", output))
    assert psnr == pytest.approx(recorded, abs=1e-6)
    assert np.isnan(image).any() == (method == "n2v")  # nothing outside the scored window
    figure = crops(given, entry(done), done.test)
    assert any(text.startswith(label) and text.endswith(f"{recorded:.2f} dB") for text in labels(figure))
    np.testing.assert_array_equal(panel(figure, label), inside(image))


def test_kept_images_are_shown_as_they_are_stored(done: Done) -> None:
    figure = crops(inputs(done), entry(done), done.test)
    (path,) = done.store.glob("images/*/coffee-0.safetensors")
    np.testing.assert_array_equal(panel(figure, "CBM3D"), inside(read_tensors(path)[0]["denoised"].numpy()))


def test_steps_are_one_method_in_the_order_of_the_entry(done: Done) -> None:
    figure = crops(inputs(done), steps(done), done.test)
    names = [label.partition(" ")[0] for label in labels(figure)]
    assert names == ["Whole", "Noisy", "Blind", "Visible", "Weighted", "Clean"]
    images = images_of(*inputs(done), "gauss25", done.test, "coffee")
    np.testing.assert_array_equal(panel(figure, "Blind"), inside(images["Blind2Unblind (blind)"]))


def test_caption_says_what_the_numbers_are(done: Done) -> None:
    said = caption(crops(inputs(done), entry(done), done.test))
    for words in (
        "coffee",
        "suite synthetic v1",
        "preset [mini, steps=2",
        "noise gauss25",
        "test set folder tests",
        "dB",
    ):
        assert words in said
    assert "N2V: centre 24x24" in said
    assert done.test not in said  # no paths


# ---- what is missing


def test_a_row_outside_its_window_is_left_out(done: Done) -> None:
    figure = crops(inputs(done), entry(done, Box(image="coffee", top=0, left=0, side=16)), done.test)
    assert not any(label.startswith("N2V") for label in labels(figure))
    assert "Left out: N2V (only the centre 24x24 was denoised)" in caption(figure)


def test_rows_without_weights_or_images_are_left_out(copy: Done) -> None:
    (file_of(copy.store, "fit", "n2c", ".safetensors")).unlink()
    shutil.rmtree(copy.store / "images")
    figure = crops(inputs(copy), entry(copy), copy.test)
    assert not any(label.startswith(("Baseline, N2C", "CBM3D")) for label in labels(figure))
    assert "Left out: Baseline, N2C, CBM3D (neither weights nor images in the store)" in caption(figure)
    assert not (copy.store / "images").exists()  # and nothing was computed instead


def test_a_figure_without_any_method_is_skipped(copy: Done, tmp_path: Path) -> None:
    for path in copy.store.glob("fits/*/*/*.safetensors"):
        path.unlink()
    found = draw(inputs(copy), tmp_path / "out", [steps(copy)])
    (reason,) = (one.reason for one in found if isinstance(one, Skipped) and one.name == "mine-folder_tests")
    assert "Blind, Visible, Weighted (neither weights nor images in the store)" in reason
    assert not list((tmp_path / "out").glob("mine*"))


def test_nothing_to_draw_is_an_error(done: Done, tmp_path: Path) -> None:
    given = inputs(done)._replace(store=Store(tmp_path / "empty"))
    with pytest.raises(InputError, match=r"nothing to draw .*progress-gauss25: .*bench run"):
        draw(given, tmp_path / "out", [entry(done)])
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_an_error(done: Done, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*--out"):
        draw(inputs(done), tmp_path / "file" / "out", [entry(done)])


def test_an_unknown_image_is_named(done: Done) -> None:
    with pytest.raises(InputError, match=r"'cofee'.*Did you mean 'coffee'"):
        crops(inputs(done), entry(done, structs.replace(INSIDE, image="cofee")), done.test)


def test_a_box_outside_the_image_is_an_error(done: Done) -> None:
    with pytest.raises(InputError, match="ends at row 60, column 40; the image has 48 rows and 64 columns"):
        crops(inputs(done), entry(done, structs.replace(INSIDE, top=44)), done.test)


# ---- files


def test_files_are_made_and_are_the_same_again(done: Done, tmp_path: Path) -> None:
    found = draw(inputs(done), tmp_path / "a", [steps(done)])
    paths = [one.path for one in found if isinstance(one, Made)]
    assert [path.name for path in paths] == [
        f"{name}.{kind}"
        for name in ("mine-folder_tests", "progress-gauss25", "cost-gauss25-folder_tests")
        for kind in ("png", "pdf")
    ]
    (lacking,) = (one for one in found if isinstance(one, Skipped))
    assert (lacking.name, done.test in lacking.reason) == ("crops", True)  # figures.toml names no box for a folder
    draw(inputs(done), tmp_path / "b", [steps(done)])
    with Pillow.open(paths[0]) as image:
        height = crops(inputs(done), steps(done), done.test).get_figheight()
        assert image.size == (round(WIDTH * DPI), int(height * DPI))
    for path in paths:
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_the_command_tells_what_it_wrote_from_which_store(done: Done, tmp_path: Path) -> None:
    out = tmp_path / "drawn"
    asked = ("--suite", done.request.suite, "--noise", "gauss25", "--test-sets", done.test, "--steps", 2)
    result = bench("figures", *asked, "--out", out, "--store", done.store)
    assert (result.code, "crops: skipped: " in result.out) == (0, True)
    written = list(out.iterdir())
    assert len(written) == result.out.count(str(out)) > 0
    assert f"{len(written)} files in {out}. Records: {done.store}" in result.err


# ---- curves


def with_quality(done: Done, method: str, quality: list[list[float]]) -> None:
    found = record(done.store, "fit", method)
    found["result"]["quality"] = quality
    file_of(done.store, "fit", method).write_text(json.dumps(found))


def test_progress_draws_recorded_qualities_and_names_the_others(copy: Done) -> None:
    for method in ("n2c", "n2v"):
        with_quality(copy, method, [])
    with_quality(copy, "b2u", [[1, 20.0], [2, 21.5]])
    figure = progress(inputs(copy), "gauss25")
    (axes,) = figure.axes
    (curve,) = axes.lines
    check_text(figure)
    assert curve.get_xydata().tolist() == [[0.5, 20.0], [1.0, 21.5]]  # type: ignore[union-attr]
    assert "dB" in axes.get_ylabel()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Blind2Unblind (visible), 21.50"]
    assert "Left out: Baseline, N2C, N2V (not in their records)" in caption(figure)


def test_progress_without_qualities_is_skipped(copy: Done) -> None:
    for method in ("b2u", "n2c", "n2v"):
        with_quality(copy, method, [])
    with pytest.raises(SkippedError, match="PSNR by step"):
        progress(inputs(copy), "gauss25")


def test_cost_has_passes_and_seconds_of_every_row(done: Done) -> None:
    figure = cost(inputs(done), "gauss25", done.test)
    left, right = figure.axes
    check_text(figure)
    assert len(left.lines) == len(ROWS + B2U)
    assert len(right.lines) == 5  # N2C, N2V, and three outputs of B2U
    passes = {int(line.get_xdata()[0]) for line in left.lines}  # type: ignore[index, arg-type]
    assert passes == {0, 1, 4, 5}  # s = 2: four blind passes, and a visible one
    assert "all on one machine" in caption(figure)
    assert "not at the right: Noisy input, Gaussian blur, oracle width, CBM3D" in caption(figure)


def test_cost_says_that_machines_differ(copy: Done) -> None:
    found = record(copy.store, "fit", "n2c")
    found["environment"]["device"] = "cuda"
    file_of(copy.store, "fit", "n2c").write_text(json.dumps(found))
    assert "on 2 different machines or settings" in caption(cost(inputs(copy), "gauss25", copy.test))


def test_lenna_is_refused_as_the_first_image(done: Done, tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    Pillow.fromarray(clean(done)).save(folder / "lenna.png")
    test = f"folder:{folder}"
    with pytest.raises(InputError, match="Lenna"):
        crops(inputs(done), entry(done, boxes={test: Box(top=0, left=0, side=8)}), test)


def test_ablations_of_all_tables_are_drawn_once() -> None:
    """GM+V, lambda_f = 20 and eta = 1 are the network of L_A."""
    request = Request(suite="ablations", noises=("gauss25",))
    store = Store(Path(__file__).parent / "no store")
    lines = listed(make(request_of(store, request, True)), store)
    labels = [line.label for line in lines if line.test == "embedded_test" and line.method not in BASELINES]
    assert labels == [
        "L_A, Eq. 6", "L_B, Eq. 7", "RM", "GM", "RM+V", "lambda_f = 2", "lambda_f = 40", "lambda_f = 100",
        "eta = 0", "eta = 2", "eta = 3",
    ]  # fmt: skip
