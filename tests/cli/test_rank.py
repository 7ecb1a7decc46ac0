"""`bench rank` on a user's own images, through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy
import tifffile
from support.cli import bench as command

from bench.apply import own_ranking, ranking_report
from bench.apply.calibration import Calibration
from bench.apply.entrants import Budget, candidate
from bench.apply.held_out import Trial, outputs
from bench.apply.own_ranking import Known, answer
from bench.apply.ranking import CrossChecks, Fragile, recorrupted
from bench.apply.recorruption import Variance, variance_of
from bench.compute.machine import Machine
from bench.datasets.errors import InputError
from bench.datasets.noise.model import parse
from bench.datasets.own.collection import collect

pytestmark = pytest.mark.usefixtures("narrow")
QUICK = ("--methods", "noisy,blur,n2v", "--steps", "2", "--threads", "1")


def clean(seed: int = 0, size: int = 128) -> np.ndarray:
    smooth = scipy.ndimage.gaussian_filter(np.random.RandomState(seed).standard_normal((size, size)), 6.0, mode="wrap")
    return 0.5 + 0.12 * smooth / smooth.std()


def noisy(seed: int, x: np.ndarray, rows: float = 0.0) -> np.ndarray:
    draws = np.random.RandomState(seed)
    noise = 0.1 * draws.standard_normal(x.shape) + rows * draws.standard_normal((len(x), 1))
    return np.clip(np.rint(100 + 1000 * (x + noise)), 0, 4095).astype(np.uint16)


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "scene"
    folder.mkdir()
    for i in (1, 2):
        tifffile.imwrite(folder / f"frame-{i}.tif", noisy(i, clean(), rows=0.05))
    return folder


def budget(folder: Path) -> Budget:
    return Budget(machine=Machine("cpu", "float32", 1), folder=folder, steps=2)


def test_two_frames(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = command("rank", frames, "--out", out, *QUICK)
    assert result.code == 0, result.err
    assert "(of the noise card)" in result.err
    stages = [line.removeprefix("ranking: ") for line in result.err.splitlines() if line.startswith("ranking: ")]
    assert stages == ["noisy", "blur", "n2v", "calibration on synthetic noise"]
    assert "blur" in result.out.splitlines()[0]
    assert "scored on the mean of the other half" in " ".join(result.out.split())
    assert all(len(line) <= 80 for line in result.out.splitlines())
    found = json.loads((out / "ranking.json").read_bytes())
    assert found["methods"][0]["method"] == "blur"
    assert found["calibration"]["coverage"] > 0.8
    assert (out / "ranking.txt").read_text().strip() == result.out.strip()
    with np.load(out / "crops.npz") as crops:
        assert {name.partition(" ")[2] for name in crops} == {"noisy", "held out", "blur", "n2v"}
    assert "blur" in (out / "report.html").read_text()
    assert len(list((out / "trainings").glob("*.safetensors"))) == 2  # one for each half


@pytest.mark.slow
def test_auto_takes_the_first_of_the_ranking(frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_ranking, "suitable", lambda noise, pairs: ["noisy", "blur"])
    result = command("denoise", frames, "--out", tmp_path / "out", "--method", "auto", "--steps", "2")
    assert result.code == 0, result.err
    assert "method: blur (the ranking says: blur is the best of these" in result.err
    assert (tmp_path / "out" / "ranking" / "ranking.json").is_file()
    assert (tmp_path / "out" / "frame-1.tif").is_file()


@pytest.mark.parametrize(("number", "takes_part"), [(2, False), (3, False), (4, True)])
def test_pairs_are_learned_from_where_each_half_has_two_frames(number: int, takes_part: bool, tmp_path: Path) -> None:
    scene = [noisy(i, clean())[..., None].astype(np.float32) / 1000 for i in range(number)]
    found = answer([scene], Known(), ["noisy", "blur", "n2n"], budget(tmp_path))
    assert found.ranking is not None
    assert ("n2n" in {row.method for row in found.ranking.rows}) == takes_part
    (why,) = [note for note in found.notes if note.startswith("n2n does not take part")] or [""]
    assert ("four or more frames" in why) != takes_part
    assert "--train" not in why


@pytest.mark.parametrize(("number", "taken"), [(2, False), (3, False), (4, True)])
def test_pairs_are_taken_unasked_where_they_can_be(
    number: int, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[str]()

    def refused(name: str, *more: object) -> None:
        asked.append(name)
        raise InputError("not in this test")

    monkeypatch.setattr(own_ranking, "candidate", refused)
    scene = [noisy(i, clean())[..., None].astype(np.float32) / 1000 for i in range(number)]
    with pytest.raises(InputError, match="two or more methods"):
        answer([scene], Known(), (), budget(tmp_path))
    assert ("n2n" in asked) == taken


@pytest.mark.slow
def test_trainings_are_not_done_twice(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = command("rank", frames, "--out", out, *QUICK)
    times = {path: path.stat().st_mtime_ns for path in (out / "trainings").iterdir()}
    assert command("rank", frames, "--out", out, *QUICK).out == first.out
    assert {path: path.stat().st_mtime_ns for path in (out / "trainings").iterdir()} == times


def test_one_image_with_correlated_noise_is_undecided(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "one.tif", noisy(1, clean(size=192), rows=0.2))
    result = command("rank", tmp_path / "one.tif", "--out", tmp_path / "out", *QUICK)
    assert result.code == 1
    assert "Undecided:" in result.out
    assert "two or more frames of the same scene, of one size, would decide it" in " ".join(result.out.split())


def test_single_images_of_known_white_noise(tmp_path: Path) -> None:
    known = Known(parse("gauss25"), variance_of(parse("gauss25")))
    draws = np.random.RandomState(0)
    images = [(clean(i) + 25 / 255 * draws.standard_normal((128, 128)))[..., None].astype(np.float32) for i in (1, 2)]
    found = answer([[image] for image in images], known, ["noisy", "blur", "n2v"], budget(tmp_path))
    assert found.mode == "split"
    assert found.decided
    assert found.ranking is not None
    assert found.ranking.rows[0].method == "blur"
    assert any("128x128 pixels" in note for note in found.notes)
    assert set(found.checks) == {"Stein's unbiased estimate", "the masked loss"}
    assert not any(found.checks.values())


@pytest.mark.parametrize("coverage", [0.95, 0.5])
def test_a_ranking_that_fails_on_known_truth_is_not_to_be_trusted(
    coverage: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_ranking, "calibrate", lambda *_: Calibration(1.0, 40, 20, coverage, 4))
    pair = [noisy(i, clean())[..., None].astype(np.float32) / 1000 for i in (1, 2)]
    notes = " ".join(answer([pair], Known(), ["noisy", "blur"], budget(tmp_path)).notes)
    assert ("do not trust" in notes) == (coverage < 0.9)


def test_a_note_on_the_noise_level_names_the_method_that_would_lose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It compares methods that train nothing: another may be first."""
    monkeypatch.setattr(own_ranking, "cross_checks", lambda *_: CrossChecks({}, Fragile("noisy", "blur", 0.9)))
    known = Known(parse("gauss25"), variance_of(parse("gauss25")))
    image = noisy(1, clean())[..., None].astype(np.float32) / 1000
    notes = answer([[image]], known, ["noisy", "blur"], budget(tmp_path)).notes
    assert any("noisy would be better than blur" in note and "0.90" in note for note in notes)


def test_a_trained_network_is_refused_on_what_it_was_trained_on(tmp_path: Path) -> None:
    """The planted mistake, with a real training: weights of one split score the other, or the image is trained on."""
    noise = parse("gauss25")
    image = noisy(1, clean())[..., None].astype(np.float32) / 1000
    one, other = recorrupted([image], variance_of(noise), noise)
    made = candidate("n2v", [one], budget(tmp_path)).fit(one)
    assert outputs("n2v", made, one, 64, 64)[0].shape == (64, 64, 1)
    with pytest.raises(InputError, match="n2v was fitted to 1 of the images"):
        outputs("n2v", made, other, 64, 64)
    cheat = candidate("n2v", [one], budget(tmp_path)).fit(Trial("", (), ((image,),), frozenset(), noise))
    with pytest.raises(InputError, match="its score would be too good"):
        outputs("n2v", cheat, one, 64, 64)


def test_noise_of_no_known_kind_is_undecided(tmp_path: Path) -> None:
    image = clean()[..., None].astype(np.float32)
    found = answer([[image]], Known(doubt="the noise is correlated"), ["noisy", "blur"], budget(tmp_path))
    assert not found.decided
    assert found.verdict.startswith("Undecided: the noise is correlated;")


def test_moved_frames_are_undecided(tmp_path: Path) -> None:
    x = clean()
    pair = [(0.0 + noisy(i, np.roll(x, 2 * i, axis=0)))[..., None].astype(np.float32) / 1000 for i in (0, 1)]
    found = answer([pair], Known(), ["noisy", "blur"], budget(tmp_path))
    assert not found.decided
    assert "shifted by more than 0.3 pixels" in found.verdict
    assert "scored" not in ranking_report.text(found)


def test_methods_that_cannot_be_used(tmp_path: Path) -> None:
    known = Known(parse("gauss25"), variance_of(parse("gauss25")))
    image = clean()[..., None].astype(np.float32)
    with pytest.raises(InputError, match="anscombe"):
        answer([[image]], known, ["noisy", "anscombe"], budget(tmp_path))
    with pytest.raises(InputError, match="can be used here: blur"):
        answer([[image]], known, ["blur"], budget(tmp_path))
    with pytest.raises(InputError, match="Did you mean 'blur'"):
        answer([[image]], known, ["blurr", "noisy"], budget(tmp_path))


def test_a_method_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    known = Known(parse("gauss25"), variance_of(parse("gauss25")))
    image = noisy(1, clean())[..., None].astype(np.float32) / 1000
    found = answer([[image]], known, ["noisy", "anscombe", "blur"], budget(tmp_path))
    assert any(note.startswith("anscombe does not take part: Anscombe's transform") for note in found.notes)


def test_noise_without_a_name_in_the_range_is_a_note(tmp_path: Path) -> None:
    image = noisy(1, clean())[..., None].astype(np.float32) / 1000
    known = Known(None, variance_of(parse("gauss25")))
    notes = " ".join(answer([[image]], known, ["noisy", "r2r", "blur"], budget(tmp_path)).notes)
    assert "r2r does not take part" in notes
    assert "--range" in notes


def test_the_variance_in_another_range() -> None:
    """Stored values 100..1100 with variance 2 (v - 100) + 25."""
    old = Variance(2 / 1000, 25 / 1000**2)
    new = old.rescaled((100.0, 1100.0), (0.0, 4095.0))
    for stored in (100.0, 500.0):
        u = stored / 4095
        assert (new.gain * u + new.floor) * 4095**2 == pytest.approx(2 * (stored - 100) + 25)


def test_as_many_scenes_take_part_as_may(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((own_ranking.SCENES + 1, 16, 16), np.uint8))
    scenes, notes = own_ranking.read(collect([tmp_path], axes="ZYX"), repeats=False)
    assert (len(scenes), notes) == (16, ["16 of 17 scenes take part."])


def test_frames_of_two_sizes_are_images_of_their_own(tmp_path: Path) -> None:
    for number, side in enumerate((80, 64), 1):
        tifffile.imwrite(tmp_path / f"frame-{number}.tif", noisy(number, clean(size=128)[:side]))
    scenes, _ = own_ranking.read(collect([tmp_path]), repeats=False)
    assert [[one.shape for one in scene] for scene in scenes] == [[(80, 128, 1)], [(64, 128, 1)]]
    assert "size" in answer(scenes, Known(), ["noisy", "blur"], budget(tmp_path)).verdict


def test_files_of_two_kinds(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noisy(1, clean()))
    tifffile.imwrite(tmp_path / "b.tif", noisy(1, clean()).astype(np.float32))
    result = command("rank", tmp_path / "a.tif", tmp_path / "b.tif", "--out", tmp_path / "out")
    assert result.code == 2
    assert "one type and number of channels" in result.err


def test_the_seed_of_a_ranking_can_be_asked_for(frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(scenes: object, known: object, methods: object, budget: Budget) -> None:
        raise InputError(f"seed {budget.seed}")

    monkeypatch.setattr(own_ranking, "answer", seen)
    assert "seed 7" in command("rank", frames, "--out", tmp_path / "out", *QUICK, "--seed", "7").err
