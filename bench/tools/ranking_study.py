"""How good the ranking without clean images is, where clean images are known.

`python -m bench.tools.ranking_study DATA FILE.csv` ranks six to eight methods on each image alone and appends a line
for it; lines that are there are not made again. `--table FILE.csv` prints their summary, which is in
results/measured/ranking/README.md.
"""

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import skimage.restoration
import torch
from msgspec import structs
from numpy.typing import NDArray

from ..apply import frames
from ..apply.calibration import contains
from ..apply.fitting import Fitted, as_images, fit, plan
from ..apply.held_out import Trial, centre, squared
from ..apply.ranking import Candidate, cross_checks, rank, recorrupted
from ..apply.recorruption import Variance, variance_of
from ..apply.scores import kendall
from ..compute.machine import Machine
from ..datasets.formats.image_format import read
from ..datasets.images import unit
from ..datasets.noise.model import Image, parse
from ..datasets.seeds import frozen
from ..methods.classical.blur import blurred
from ..methods.classical.bm3d import collaborative
from ..methods.networks.unet import UNetConfig

NETWORKS, BESIDE = ("n2v", "nbr2nbr"), ("noisy", "blur 0.75", "blur 2", "bm3d")
NET_SIDE, NET_STEPS = 128, 250  # images and trainings of narrow U-Nets
TRAINED = (("set12", "gauss25", "set12/06.png"), ("set12", "gauss50", "set12/03.png"))
ALL = "all"  # images of a set, in one ranking
VISIBLE = 0.1  # dB of a true difference that the order must show
DRAWS = 2  # of noise that the true errors are the mean of
CROSSED = {"set12": 1, "bsd68": 1}  # images of each noise on which the cross-checks are made, too
KEY = ("set", "noise", "image")
COUNTS = ("covered", "separated", "wrong", "pairs", "best")
COLUMNS = (*KEY, "mode", "tau", "visible", *COUNTS, "crossed")
SETS = {  # image files, noises, side of the centre crop
    "set12": ([f"set12/{i:02d}.png" for i in (1, 2, 4, 5, 7, 9)], ("gauss25", "poisson30"), 64),
    "bsd68": ([f"bsd68/test{i:03d}.png" for i in (3, 10, 21, 33, 47, 60)], ("gauss15", "poisson30+gauss10"), 64),
    "kodak": ([f"kodak/kodim{i:02d}.png" for i in (1, 5, 19, 23)], ("gauss25", "poisson30"), 64),
}
FMDD = ("Confocal_FISH", "Confocal_MICE", "TwoPhoton_MICE")
FMDD_SIDE, CAPTURES = 96, 50  # the clean image is the mean of so many


class Function(NamedTuple):
    """A denoiser that was fitted to nothing."""

    apply: Callable[[Image], NDArray[np.floating]]
    images: frozenset[str] = frozenset()

    def __call__(self, image: Image, /) -> Image:
        """The denoised image [H, W, C]."""
        return self.apply(image).astype(np.float32)


def candidates(sigma: float) -> list[Candidate]:
    """Eight methods that train nothing; `sigma` is the noise's mean standard deviation in 0..1."""

    def by_channel(function: Callable[[NDArray[np.floating]], NDArray[np.floating]]) -> Callable[[Image], Image]:
        return lambda y: np.stack([function(plane) for plane in np.moveaxis(y, 2, 0)], axis=2)

    def blur(width: float) -> Callable[[Image], Image]:
        return lambda y: blurred(torch.from_numpy(y).permute(2, 0, 1)[None], width)[0].permute(1, 2, 0).numpy()

    functions: dict[str, Callable[[Image], NDArray[np.floating]]] = {
        "noisy": lambda y: y,
        "blur 0.75": blur(0.75),
        "blur 1.25": blur(1.25),
        "blur 2": blur(2.0),
        "tv": by_channel(partial(skimage.restoration.denoise_tv_chambolle, weight=sigma, eps=0.0, max_num_iter=50)),
        "wavelet": by_channel(lambda p: skimage.restoration.denoise_wavelet(p, sigma, mode="soft", rescale_sigma=True)),
        "nlm": by_channel(
            lambda p: skimage.restoration.denoise_nl_means(p, 5, 6, 0.8 * sigma, sigma=sigma, fast_mode=True)
        ),
        "bm3d": by_channel(lambda p: collaborative(p[..., None].astype(np.float64), sigma)[..., 0]),
    }
    return [Candidate(name, lambda trial, f=f: Function(f), "nothing") for name, f in functions.items()]  # type: ignore[misc]


def simulated(data: Path, name: str, noise: str, images: Sequence[str], side: int, crossed: bool) -> dict[str, object]:
    """One image, or several together, with noise that is put on them, split into two."""
    clean = [centre(unit(read(data / file)), side, side) for file in images]
    known, variance = parse(noise), variance_of(parse(noise))
    noisy = [
        [
            known.apply(x, known.low, frozen("ranking study", file, noise, i))
            for x, file in zip(clean, images, strict=True)
        ]
        for i in range(DRAWS)
    ]
    methods = candidates(float(np.sqrt(np.mean([variance.at(y).mean() for y in noisy[0]]))))
    trials = recorrupted(noisy[0], variance, known)
    true = {one.name: _error(one, trials[0], [y for of in noisy for y in of], clean * DRAWS) for one in methods}
    source = Trial("the image", (), tuple((y,) for y in noisy[0]), frozenset())
    alone = len(images) == 1
    row = {"set": name, "noise": noise, "image": Path(images[0]).stem if alone else ALL}
    row["mode"] = "split" if alone else f"split, {len(images)} together"
    return row | compared(methods, trials, true, side, source if crossed else None, variance)


def trained(data: Path, name: str, noise: str, file: str) -> dict[str, object]:
    """One image, with small networks among the methods; the truth is the error of a network trained on the image."""
    clean, known = centre(unit(read(data / file)), NET_SIDE, NET_SIDE), parse(noise)
    y = known.apply(clean, known.low, frozen("ranking study", file, noise, 0))
    variance = variance_of(known)
    free = [one for one in candidates(float(np.sqrt(variance.at(y).mean()))) if one.name in BESIDE]
    methods = [*free, *(Candidate(one, partial(_network, one), "dataset") for one in NETWORKS)]
    source = Trial("the image", (), ((y,),), frozenset(), known)
    true = {one.name: _error(one, source, [y], [clean]) for one in methods}
    row = {"set": name, "noise": noise, "image": Path(file).stem, "mode": "split, networks"}
    return row | compared(methods, recorrupted([y], variance, known), true, NET_SIDE, None, None)


def _network(name: str, trial: Trial) -> Fitted:
    planned, images, _ = plan(name, as_images(trial.training), trial.noise, steps=NET_STEPS)
    method = structs.replace(planned.method, net=UNetConfig(width=8))
    return fit(structs.replace(planned, method=method), images, Machine("cpu", "float32", 1))


def captured(data: Path, name: str) -> dict[str, object]:
    """Two real captures of a scene against each other; the truth is the mean of the other captures."""
    folder, side = data / "fmdd" / name, FMDD_SIDE
    pair = [centre(unit(read(folder / f"raw/19/{name}_{i}.png")), side, side) for i in (1, 2)]
    mean = centre(unit(read(folder / "gt/19/avg50.png")), side, side)
    trials, _ = frames.trials([pair])
    given = [pair.given for trial in trials for pair in trial.pairs]
    clean = [((CAPTURES * mean - y) / (CAPTURES - 1)).astype(np.float32) for y in given]  # without its own noise
    methods = candidates(float((pair[0] - pair[1]).std() / np.sqrt(2.0)))
    noise = float(np.mean([squared(y, x).mean() for y, x in zip(given, clean, strict=True)])) / CAPTURES
    true = {one.name: _error(one, trials[0], given, clean) - noise for one in methods}
    row = {"set": "fmdd", "noise": name, "image": "1-2", "mode": "frames"}
    return row | compared(methods, trials, true, side, None, None)


def _db(mse: float) -> float:
    return 10.0 * float(np.log10(max(mse, 1e-9)))


def _error(candidate: Candidate, trial: Trial, noisy: Sequence[Image], clean: Sequence[Image]) -> float:
    denoise = candidate.fit(trial)
    return float(np.mean([squared(denoise(y), x).mean() for y, x in zip(noisy, clean, strict=True)]))


def compared(
    methods: Sequence[Candidate],
    trials: Sequence[Trial],
    true: dict[str, float],
    side: int,
    source: Trial | None,
    variance: Variance | None,
) -> dict[str, object]:
    """The ranking against the truth."""
    found = rank(methods, trials, side, side)
    scores, pairs = found.scores, list(combinations(true, 2))
    tau, visible = kendall([_db(scores.mse(name)) for name in true], [_db(error) for error in true.values()], VISIBLE)
    signs = [scores.difference(a, b).sign for a, b in pairs]
    truth = [int(np.sign(true[a] - true[b])) for a, b in pairs]
    said = cross_checks(methods, source, variance, scores, side, side)[0] if source and variance else {}
    return {
        "tau": round(tau, 4),
        "visible": visible,
        "covered": sum(contains(scores, true, a, b) for a, b in pairs),
        "separated": sum(sign != 0 for sign in signs),
        "wrong": sum(sign == -one for sign, one in zip(signs, truth, strict=True) if sign),
        "pairs": len(pairs),
        "best": int(found.rows[0].method == min(true, key=lambda name: true[name])),
        "crossed": "; ".join(f"{name}: {what}" for name, what in said.items() if what) or ("agree" if said else ""),
    }


def work(data: Path) -> Iterator[tuple[tuple[str, str, str], Callable[[], dict[str, object]]]]:
    """What is to be done: (set, noise, image) and how."""
    for name in FMDD:
        yield ("fmdd", name, "1-2"), partial(captured, data, name)
    for name, (images, noises, side) in SETS.items():
        for i, file in enumerate(images):
            for noise in noises:
                crossed = i < CROSSED.get(name, 0)
                yield (name, noise, Path(file).stem), partial(simulated, data, name, noise, [file], side, crossed)
        for noise in noises:
            yield (name, noise, ALL), partial(simulated, data, name, noise, images, side, False)
    for one in TRAINED:
        yield (*one[:2], Path(one[2]).stem), partial(trained, data, *one)


def table(rows: Sequence[dict[str, str]]) -> Iterator[str]:
    """The mean over the images of every set and noise, as lines of Markdown."""
    heads = ("set", "noise", "images", "mode", "tau", "least tau", "coverage", "told apart", "wrongly", "best found")
    yield f"| {' | '.join((*heads, 'cross-checks'))} |"
    yield "|---|---|--:|---|--:|--:|--:|--:|--:|--:|---|"
    groups: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault((row["set"], row["noise"], row["mode"]), []).append(row)
    for (name, noise, mode), of in sorted(groups.items()):
        total = {column: sum(int(row[column]) for row in of) for column in COUNTS}
        taus = [float(row["tau"]) for row in of]
        crossed = [row["crossed"] for row in of if row["crossed"]]
        agree = f"{sum(one == 'agree' for one in crossed)} of {len(crossed)} agree" if crossed else ""
        yield (
            f"| {name} | {noise} | {len(of)} | {mode} | {np.mean(taus):.3f} | {min(taus):.2f} "
            f"| {100 * total['covered'] / total['pairs']:.1f} % | {100 * total['separated'] / total['pairs']:.0f} % "
            f"| {total['wrong']} of {total['separated']} | {total['best']} of {len(of)} | {agree} |"
        )


def main(data: Path, path: Path) -> None:
    """Appends what is missing."""
    torch.set_num_threads(1)
    done = {tuple(row[column] for column in KEY) for row in lines(path)}
    for key, make in work(data):
        if key not in done:
            row = make()
            with path.open("a", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                if not file.tell():
                    writer.writeheader()
                writer.writerow(row)


def lines(path: Path) -> list[dict[str, str]]:
    """The lines that are there."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--table", file]:
            sys.stdout.write("\n".join(table(lines(Path(file)))) + "\n")
        case [data, file]:
            main(Path(data), Path(file))
        case _:
            sys.exit(__doc__)
