"""Real frames of a view: each is trained on and scored, against the mean of all; an incomplete set is refused."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from support.cli import SHARED, bench, line, lines, photo, photos, refused, rows, snapshot

from bench.compute.machine import Machine
from bench.compute.scoring import evaluate
from bench.compute.step import collate
from bench.compute.training import train
from bench.datasets.errors import InputError
from bench.datasets.images import SetImage, unit
from bench.datasets.noise.captured import CAPTURED
from bench.datasets.sampling import Patches, Sample, hosted, one_sample
from bench.datasets.sets import catalogue
from bench.datasets.sets.catalogue import Entry
from bench.datasets.sets.find import find
from bench.methods import registry
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.protocol.units import Fit

SIDE, FRAMES = 72, 3
VIEWS = {1: "astronaut", 19: "chelsea"}


@cache
def sample(number: int, frame: int | None) -> NDArray[np.uint8]:
    """A frame of a view, or its clean image (None); gray [SIDE, SIDE]."""
    clean = photo(VIEWS[number], SIDE, SIDE)[..., 1]
    if frame is None:
        return clean
    z = np.random.default_rng([number, frame]).normal(0, 12, clean.shape)
    return np.clip(clean + z, 0, 255).astype(np.uint8)


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(pixels).save(path)


def microscope(folder: Path) -> Path:
    """FMDD's layout with two views."""
    for number in VIEWS:
        for frame in range(FRAMES):
            save(folder / "raw" / str(number) / f"{frame}.png", sample(number, frame))
        save(folder / "gt" / str(number) / "avg50.png", sample(number, None))
    return folder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder; the catalogue knows both views of it as `both`, and `first` and `last`."""
    common: dict[str, Any] = {"role": "test", "channels": 1, "source": "here", "licence": "none", "layout": "views"}
    common |= {"folder": "scope", "frames": FRAMES}
    views = {"both": (1, 19), "first": (1,), "last": (19,)}
    mine = {name: Entry(title=name, count=len(v), views=v, **common) for name, v in views.items()}
    known = catalogue.catalogue() | mine
    monkeypatch.setattr(catalogue, "catalogue", lambda: known)
    monkeypatch.delenv("BENCH_DATA", raising=False)
    microscope(tmp_path / "data" / "scope")
    return tmp_path / "data"


@pytest.fixture
def set_images(data: Path) -> list[SetImage]:
    return find("both").load(data, 1)


# ---- loading


def test_a_view_is_its_clean_image_with_all_captures(set_images: list[SetImage]) -> None:
    assert [set_image.name for set_image in set_images] == ["scope-1", "scope-19"]
    for number, set_image in zip(VIEWS, set_images, strict=True):
        np.testing.assert_array_equal(set_image.pixels[..., 0], sample(number, None), strict=True)
        for i, frame in enumerate(set_image.frames):
            np.testing.assert_array_equal(frame.pixels[..., 0], sample(number, i), strict=True)
        assert len(set_image.frames) == FRAMES


def test_a_set_has_its_own_views_only(data: Path) -> None:
    shutil.rmtree(data / "scope" / "raw" / "19")  # not a matter of the set `first`
    assert [set_image.name for set_image in find("first").load(data, 1)] == ["scope-1"]


def test_a_view_numbered_with_zeros_is_missing_everywhere(data: Path) -> None:
    (data / "scope" / "raw" / "1").rename(data / "scope" / "raw" / "001")
    assert find("both").summary(data) == (1, 1)
    with pytest.raises(InputError, match="raw/1: no such folder"):
        find("both").load(data, 1)


# ---- training


def numbered(pixels: NDArray[np.float32], set_images: list[SetImage]) -> tuple[int, int]:
    """Which frame of which view a whole image is."""
    (found,) = (
        (v, c)
        for v, set_image in enumerate(set_images)
        for c, frame in enumerate(set_image.frames)
        if np.array_equal(unit(frame.pixels), pixels)
    )
    return found


def located(view: Sample, set_images: list[SetImage]) -> tuple[int, list[int]]:
    """(view, frames) that the crops of a sample were cut from at its clean image's window; -1: not there."""
    assert view.clean is not None
    side = view.clean.shape[0]
    for v, set_image in enumerate(set_images):
        clean = unit(set_image.pixels)
        for top, left in np.argwhere(clean[: SIDE - side + 1, : SIDE - side + 1, 0] == view.clean[0, 0, 0]):
            window = (slice(top, top + side), slice(left, left + side))
            if np.array_equal(clean[window], view.clean):
                cut = [unit(frame.pixels[window]) for frame in set_image.frames]
                same = [[np.array_equal(crop, frame) for crop in cut] for frame in view.frames]
                return v, [row.index(True) if True in row else -1 for row in same]
    raise AssertionError("the clean crop is in no view")


def test_every_capture_of_every_view_comes_once_per_epoch_in_another_order(set_images: list[SetImage]) -> None:
    patches, total = Patches(set_images, CAPTURED, "fresh", SIDE, 0), len(VIEWS) * FRAMES
    epochs = [
        [numbered(one_sample(patches, epoch * total + i, 1).frames[0], set_images) for i in range(total)]
        for epoch in range(4)
    ]
    assert all(sorted(epoch) == [(v, c) for v in range(2) for c in range(FRAMES)] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_a_second_capture_is_another_one_of_the_same_view_and_window(set_images: list[SetImage]) -> None:
    patches = Patches(set_images, CAPTURED, "fresh", 48, 0)
    found = [located(one_sample(patches, number, 2), set_images) for number in range(108)]
    assert all(-1 not in pair and pair[0] != pair[1] for _, pair in found)
    assert {(v, *pair) for v, pair in found} == {
        (v, i, j) for v in range(2) for i in range(FRAMES) for j in range(FRAMES) if i != j
    }


def test_more_captures_do_not_change_the_first_nor_the_window(set_images: list[SetImage]) -> None:
    """So N2C, N2N and B2U train on the same noisy crops."""
    patches = Patches(set_images, CAPTURED, "fresh", 48, 0)
    for number in range(6):
        one, three = one_sample(patches, number, 1), one_sample(patches, number, 2)
        np.testing.assert_array_equal(one.frames[0], three.frames[0])
        assert len(set(located(three, set_images)[1])) == 2


def test_targets_are_what_a_method_declares(set_images: list[SetImage]) -> None:
    patches = Patches(set_images, CAPTURED, "fresh", 48, 0)
    made = patches.samples(patches.items(0, 1), torch.tensor([0]), 2)
    (view,) = hosted(made)
    assert view.clean is not None
    batches = {name: collate(made, registry.find(name)()) for name in ("n2c", "n2n", "nbr2nbr", "b2u")}
    for batch in batches.values():
        np.testing.assert_array_equal(batch.noisy[0, 0], view.frames[0][..., 0])
        assert batch.level is None
    np.testing.assert_array_equal(batches["n2c"].target[0, 0], view.clean[..., 0])  # type: ignore[index]
    np.testing.assert_array_equal(batches["n2n"].target[0, 0], view.frames[1][..., 0])  # type: ignore[index]
    assert batches["nbr2nbr"].target is batches["b2u"].target is None


@pytest.mark.parametrize(("method", "same"), [("nbr2nbr", True), ("n2n", True), ("n2c", False)])
def test_only_n2c_learns_from_the_clean_images(
    data: Path, work: Callable[..., Fit], machine: Machine, method: str, same: bool
) -> None:
    """The weights with other clean images under the same frames."""
    asked = work(method, "captured", channels=1, steps=2, train="both")
    before = train(asked, find("both").load(data, 1), machine).net.state_dict()
    for number in VIEWS:
        save(data / "scope" / "gt" / str(number) / "avg50.png", np.flip(sample(number, None)).copy())
    after = train(asked, find("both").load(data, 1), machine).net.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before) == same


def test_a_set_without_captures_is_not_trained_on(photos: Path) -> None:
    with pytest.raises(InputError, match=r"astronaut\.png: no frames of it; noise `captured` needs"):
        Patches(find(f"folder:{photos}").load(None, 3), CAPTURED, "fresh", 48, 0)


def test_n2n_needs_a_second_capture(set_images: list[SetImage]) -> None:
    for set_image in set_images:
        set_image.frames = set_image.frames[:1]
    with pytest.raises(InputError, match=r"only noisy frame"):
        Patches(set_images, CAPTURED, "fresh", 48, 0).require(2)


# ---- scoring


def asked(data: Path, store: Path, *more: object, methods: str = "noisy", suite: str = "fluorescence") -> list[object]:
    """A run of a suite on the small views."""
    given = {"--train": "first", "--test-sets": "last", "--steps": "1", "--precision": "float32"}
    pairs = [item for pair in given.items() if pair[0] not in more for item in pair]
    return ["run", "--suite", suite, "--methods", methods, *pairs, "--data", data, "--store", store, *more]


def test_every_capture_is_scored_once_against_the_clean_image(data: Path, tmp_path: Path) -> None:
    assert bench(*asked(data, tmp_path / "s")).code == 0
    found = [json.loads(row) for row in rows(tmp_path / "s", "noisy captured seed 0 on last").splitlines()]
    assert [(row["image"], row["repeat"], row["level"]) for row in found] == [("scope-19", i, 0) for i in range(3)]
    clean = sample(19, None).astype(float)
    expected = [10 * np.log10(255**2 / np.mean((sample(19, i) - clean) ** 2)) for i in range(FRAMES)]
    assert [row["psnr"] for row in found] == pytest.approx(expected, abs=1e-9)


def test_a_method_is_trained_on_views_that_are_not_tested(data: Path, tmp_path: Path) -> None:
    """N2C and N2N would see answers: the mean of 50, other frames of the scene. Self-supervised methods say so."""
    both = ("--train", "last")
    assert bench(*asked(data, tmp_path / "s", *both, methods="n2c,n2n,nbr2nbr")).code == 2  # two of them cannot
    found = lines("--suite", "fluorescence", "--store", tmp_path / "s")
    n2c, n2n, own = (line(found, method=name, noise="captured", test="last") for name in ("n2c", "n2n", "nbr2nbr"))
    for one in (n2c, n2n):
        assert (one["state"], "last overlaps the test set" in one["reason"]) == ("not possible", True)
    assert (own["state"], own["images"]) == ("done", FRAMES)
    assert "trained on the test images" in own["reduced_settings"]
    assert not line(found, method="noisy", noise="captured", test="last")["reduced_settings"]


def test_zero_shot_methods_have_a_table_of_captures_with_the_cost_of_an_image(data: Path, tmp_path: Path) -> None:
    """A network for each capture, on its centre crop."""
    result = bench(*asked(data, tmp_path / "s", suite="zeroshot-fmdd", methods="zs-n2n,noise2fast,bm3d-vst"))
    assert result.code == 0, result.err
    found = lines("--suite", "zeroshot-fmdd", "--store", tmp_path / "s")
    for name in ("zs-n2n", "noise2fast", "noisy"):
        one = line(found, method=name, noise="captured", test="last")
        assert (one["state"], one["images"], one["centre_crop"]) == ("done", FRAMES, 64)
        assert one["image_seconds"] >= 0.0
    shown = bench("tables", "--suite", "zeroshot-fmdd", "--store", tmp_path / "s", "--format", "csv").out
    assert "s/image" in shown.splitlines()[0]


def test_messages_tell_the_fits_of_several_sets_apart() -> None:
    cells = make(Request(suite="fluorescence", methods=("n2n",))).cells
    titles = [cell.fit.title for cell in cells if cell.name == "n2n"]
    assert titles == [f"n2n captured seed 0 from fmdd_{name}4" for name in ("fish", "mice", "two_photon")]


@pytest.mark.parametrize(
    ("train", "test", "common"),
    [("kodak", "kodak8", True), ("fmdd_fish", "fmdd_fish4", True), ("fmdd_fish_train", "fmdd_fish", False),
     ("set12", "set12_11", True), ("bsd400", "set12", False), ("embedded_train", "embedded_gray_test", False)],
)  # fmt: skip
def test_sets_overlap_where_they_share_an_image(train: str, test: str, common: bool) -> None:
    assert find(train).overlaps(find(test)) == common
    cell = make(Request(methods=("n2c",), noises=("gauss25",), train=train, tests=(test,))).cells[-1]
    assert (cell.excluded is not None) == common


def test_nothing_is_said_of_methods_that_train_on_other_views(data: Path, tmp_path: Path) -> None:
    assert bench(*asked(data, tmp_path / "s")).code == 0
    n2c = line(lines("--suite", "fluorescence", "--store", tmp_path / "s"), method="n2c", test="last")
    assert (n2c["state"], n2c["reduced_settings"]) == ("not run", "")


@pytest.mark.skipif(not (SHARED / "fmdd").is_dir(), reason="FMDD's frames are not on this machine")
@pytest.mark.parametrize(("name", "mean"), [("fish4", 22.864), ("mice4", 29.358), ("two_photon4", 24.870)])
def test_the_noisy_captures_have_the_known_psnr(machine: Machine, name: str, mean: float) -> None:
    planned = make(Request(suite="fluorescence", tests=(f"fmdd_{name}",)))
    (score,) = (score for cell in planned.cells for score in cell.scores if cell.name == "noisy")
    found = [row.metrics["psnr"] for row in evaluate(score, None, find(f"fmdd_{name}").load(SHARED, 1), machine)]
    assert len(found) == 4
    assert np.mean(found) == pytest.approx(mean, abs=0.0015)  # type: ignore[arg-type]


# ---- bad input


@pytest.fixture
def untouched(tmp_path: Path) -> Iterator[Path]:
    """A store in which a refused command leaves nothing."""
    yield tmp_path / "store"
    assert snapshot(tmp_path / "store") == {}


def delete(*paths: str) -> Callable[[Path], object]:
    """Removes files of the view 19."""
    return lambda scope: [(scope / path).unlink() for path in paths]


def in_colour(path: str) -> Callable[[Path], object]:
    return lambda scope: save(scope / path, photo("chelsea", SIDE, SIDE))


WRONG: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "missing gt": (delete("gt/19/avg50.png"), "gt/19/avg50.png", "no such file"),
    "missing view": (lambda scope: shutil.rmtree(scope / "raw" / "19"), "raw/19", "no such folder"),
    "frame counts": (delete("raw/19/1.png"), "raw/19", "2 frames, expected 3"),
    "surplus frame": (lambda scope: save(scope / "raw/19/9.png", sample(1, 0)), "raw/19", "4 frames, expected 3"),
    "another shape": (
        lambda scope: save(scope / "raw/19/1.png", sample(19, 1)[:-1]),
        "raw/19/1.png",
        "shape (71, 72, 1), but avg50.png of its view has (72, 72, 1)",
    ),
    "another shape of gt": (
        lambda scope: save(scope / "gt/19/avg50.png", sample(19, 1)[:, :-2]),
        "raw/19/0.png",
        "shape (72, 72, 1), but avg50.png of its view has (72, 70, 1)",
    ),
    "RGB among gray": (in_colour("raw/19/2.png"), "raw/19/2.png", "shape (72, 72, 3), but avg50.png"),
    "RGB gt": (in_colour("gt/19/avg50.png"), "raw/19/0.png", "but avg50.png of its view has (72, 72, 3)"),
    "RGB everywhere": (
        lambda scope: [in_colour(f"{path}.png")(scope) for path in ("gt/19/avg50", "raw/19/0", "raw/19/1", "raw/19/2")],
        "raw/19/0.png",
        "a colour image in a gray set",
    ),
    "uint16": (
        lambda scope: Pillow.fromarray(sample(19, 1).astype(np.uint16) * 257).save(scope / "raw/19/1.png"),
        "raw/19/1.png",
        "16-bit pixels; expected 8-bit",
    ),
    "no image": (lambda scope: (scope / "raw/19/1.png").write_text("a poem"), "raw/19/1.png", "not a readable image"),
    "two of one name": (
        lambda scope: shutil.copy(scope / "raw/19/1.png", scope / "raw/19/1.bmp"),
        "raw/19/1.png",
        "the same image name as 1.bmp",
    ),
}


@pytest.mark.parametrize("role", ["--train", "--test-sets"])
@pytest.mark.parametrize("kind", WRONG)
def test_views_that_are_not_whole_are_refused_by_name(kind: str, role: str, data: Path, untouched: Path) -> None:
    damage, path, says = WRONG[kind]
    damage(data / "scope")
    other = ("--test-sets", "first") if role == "--train" else ()
    message = refused(*asked(data, untouched, role, "last", *other, methods="n2n"))
    assert str(data / "scope" / path) in message
    assert says in message


@pytest.mark.parametrize("test", ["bsd68", "folder"])
def test_captures_of_a_test_set_without_any_are_refused(test: str, data: Path, untouched: Path) -> None:
    folder = photos(data / "gray", "chelsea")
    with Pillow.open(folder / "chelsea.png") as image:
        image.convert("L").save(folder / "chelsea.png")
    if test == "bsd68":
        if not (SHARED / test).is_dir():
            pytest.skip("the image sets are not on this machine")
        (data / test).symlink_to(SHARED / test)
    name = test if test == "bsd68" else f"folder:{folder}"
    message = refused(*asked(data, untouched, "--test-sets", name))
    assert str(data / ("bsd68/test001.png" if test == "bsd68" else "gray/chelsea.png")) in message
    assert "0 frames of it, expected 1; noise `captured` needs a set with real ones" in message


def test_captures_of_synthetic_sets_are_refused(untouched: Path) -> None:
    for methods in ("noisy", "n2c"):
        argv = ("--methods", methods, "--noise", "captured", "--precision", "float32", "--store", untouched)
        assert "noise `captured` needs a set with real ones" in refused("run", *argv)


def test_more_repeats_than_captures_are_refused(data: Path, tmp_path: Path) -> None:
    assert "3 frames of it, expected 4" in refused(*asked(data, tmp_path / "s", "--repeats", "4"))
    assert bench(*asked(data, tmp_path / "s", "--repeats", "2")).code == 0
    assert len(rows(tmp_path / "s", "noisy captured seed 0 on last").splitlines()) == 2
