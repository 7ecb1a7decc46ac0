"""The regression check: every planted fault turns the case that is meant to catch it red, and nothing else does."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support.cli import bench
from torch import Tensor, nn

from bench.compute import step
from bench.datasets.errors import AbsentError, InputError
from bench.datasets.noise.model import Image, Noise, Numbers
from bench.datasets.noise.named import named as plain_noise
from bench.methods import b2u, masks, nbr2nbr, registry
from bench.methods.base import Batch, Context
from bench.methods.classical import anscombe
from bench.methods.rng import Rng
from bench.tools import regression as regress

SHORT = {
    "n2n": "synthetic/n2n/gauss25/losses",
    "b2u": "synthetic/b2u/gauss25/losses",
    "b2u-rm": "synthetic/b2u-rm/gauss25/losses",
    "nbr2nbr": "synthetic/nbr2nbr/gauss25/losses",
    "noisy": "synthetic/noisy/gauss25/psnr",
    "anscombe": "synthetic/anscombe/poisson5/psnr",
}
OTHERS = [method for method in SHORT if method not in ("n2n", "noisy")]
Plant = Callable[[pytest.MonkeyPatch], None]


def red(*methods: str) -> list[str]:
    """The cases of these methods that fail."""
    findings = list(regress.compared([SHORT[method] for method in methods]))
    assert all(finding.state != "skipped" for finding in findings)
    return [finding.case for finding in findings if finding.state == "failed"]


def stronger(clean: Image, noisy: Image) -> Image:
    image: Image = clean + np.float32(1.1) * (noisy - clean)
    return image


def training_noise(patch: pytest.MonkeyPatch, plain: Any = Noise.add) -> None:
    def add(self: Noise, clean: Tensor, level: Tensor, numbers: Numbers) -> Tensor:
        return clean + 1.1 * (plain(self, clean, level, numbers) - clean)

    patch.setattr(Noise, "add", add)


def scoring_noise(patch: pytest.MonkeyPatch, plain: Any = plain_noise) -> None:
    def named(noise: Noise, clean: Image, digest: str, repeat: int) -> tuple[Image, float]:
        noisy, level = plain(noise, clean, digest, repeat)
        return stronger(clean, noisy), level

    patch.setattr("bench.compute.noisy_images.named", named)


def transposed_spots(patch: pytest.MonkeyPatch, plain: Any = Rng.integers) -> None:
    """Blind spot k at row k % s, column k // s."""

    def integers(self: Rng, name: str, high: int, *shape: int) -> Tensor:
        k: Tensor = plain(self, name, high, *shape)
        s = math.isqrt(high)
        return k % s * s + k // s if name == "blind spot" else k

    patch.setattr(Rng, "integers", integers)


def transposed_pairs(patch: pytest.MonkeyPatch) -> None:
    """Positions 2 * column + row."""
    places = (0, 2, 1, 3)
    patch.setattr(nbr2nbr, "PAIRS", tuple((places[one], places[two]) for one, two in nbr2nbr.PAIRS))


def losses(blind: Callable[[Tensor], Tensor], attached: bool) -> Callable[..., Iterator[Tensor]]:
    """B2U's loss with another blind term in the revisible part, or with a gradient through the visible one."""

    def faulty(self: b2u.B2U, net: nn.Module, batch: Batch, ctx: Context) -> Iterator[Tensor]:
        y, lam = batch.noisy, self.lambda_at(ctx.progress.t)
        d2 = net(y) - y if attached else (net(y) - y).detach()
        for group, h in masks.blind_spots(net, y, self.s, len(y) * self.s**2):  # one part: the graph of d2 is used once
            d1, there = h - masks.cells(y, self.s)[:, :, group], masks.cells(d2, self.s)[:, :, group]
            yield ((blind(d1) + lam * there) ** 2 + self.eta * d1**2).sum() / y.numel()

    return faulty


def detached_blind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(b2u.B2U, "losses", losses(Tensor.detach, attached=False))


def attached_visible(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(b2u.B2U, "losses", losses(lambda d1: d1, attached=True))


def wrong_inverse(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(anscombe.INVERSES, "exact", anscombe.algebraic)


def biased_inverse(patch: pytest.MonkeyPatch) -> None:
    """Right for many counts only."""
    patch.setitem(anscombe.INVERSES, "exact", anscombe.asymptotic)


def faster(patch: pytest.MonkeyPatch, plain: Any = step.schedule) -> None:
    patch.setattr(step, "schedule", lambda *names: 1.1 * plain(*names))


def other_weights(patch: pytest.MonkeyPatch, plain: Any = step.build) -> None:
    patch.setattr(step, "build", lambda method, channels, gain, seed: plain(method, channels, gain, seed + 1))


FAULTS: list[tuple[Plant, str]] = [
    (training_noise, "n2n"),
    (scoring_noise, "noisy"),
    (transposed_spots, "b2u-rm"),  # the global mapper has all spots, in whatever order
    (transposed_pairs, "nbr2nbr"),
    (detached_blind, "b2u"),
    (attached_visible, "b2u"),
    (wrong_inverse, "anscombe"),
    (biased_inverse, "anscombe"),
    (faster, "n2n"),
    (other_weights, "n2n"),
]


FEW = (scoring_noise, transposed_pairs, other_weights)
PLANTED = [pytest.param(*one, marks=() if one[0] in FEW else pytest.mark.slow) for one in FAULTS]


@pytest.mark.parametrize(("fault", "method"), PLANTED, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_is_red(fault: Plant, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch)
    assert {case.split()[0] for case in red(method)} == {SHORT[method]}


@pytest.mark.parametrize("method", ["n2n", "noisy", *(pytest.param(one, marks=pytest.mark.slow) for one in OTHERS)])
def test_without_a_fault_nothing_is_red(method: str) -> None:
    assert red(method) == []


@pytest.mark.slow
def test_a_wrong_inverse_turns_its_own_output_red(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong_inverse(monkeypatch)
    assert red("anscombe") == [f"{SHORT['anscombe']} exact"]


def test_a_broken_training_is_red_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "schedule", lambda *names: math.nan)
    (finding,) = regress.compared([SHORT["n2n"]])
    assert (finding.state, finding.found.split(":")[0]) == ("failed", "DivergedError")


# ---- bands and tolerances, on made-up numbers


def numbers(**values: Any) -> regress.Numbers:
    known = {"commit": "0", "torch": "0", "processor": "", "threads": 1, "seeds": (0,), "gradient": 1.0}
    return msgspec.convert(known | values, regress.Numbers)


@pytest.mark.parametrize(("processor", "before", "off", "state"), [
    ("", 2, 0.9e-3, "ok"), ("", 2, 1.1e-3, "failed"), ("", 2, math.nan, "failed"), ("", 19, 1.1e-3, "failed"),
    ("other", 7, 1.1e-3, "failed"), ("other", 8, 0.9e-2, "ok"), ("other", 8, 1.1e-2, "failed"),
])  # fmt: skip
def test_losses_agree_to_a_thousandth_and_later_ones_elsewhere_to_a_hundredth(
    processor: str, before: int, off: float, state: str
) -> None:
    case, same = regress.cases([SHORT["n2n"]])[0], [3.0] * before
    expected = numbers(losses=[*same, 3.0])
    found = numbers(losses=[*same, 3.0 * (1.0 + off)], processor=processor)
    finding, _ = regress._losses(case, expected, found)
    assert finding.state == state


@pytest.mark.parametrize(("seeds", "found", "state"), [
    ([29.0, 30.0, 31.0], 33.9, "ok"), ([29.0, 30.0, 31.0], 34.1, "failed"), ([29.0, 30.0, 31.0], 25.9, "failed"),
    ([30.0], 30.009, "ok"), ([30.0], 30.02, "failed"), ([30.0], math.nan, "failed"),
])  # fmt: skip
def test_psnr_stays_within_four_deviations(seeds: list[float], found: float, state: str) -> None:
    case = regress.cases([SHORT["noisy"]])[0]
    (finding,) = regress._psnr(case, numbers(psnr={"noisy": seeds}), numbers(psnr={"noisy": [found]}))
    assert finding.state == state


def test_a_lost_output_is_red() -> None:
    case = regress.cases([SHORT["anscombe"]])[0]
    (finding,) = regress._psnr(case, numbers(psnr={"exact": [30.0], "closed": [30.0]}), numbers(psnr={"exact": [30.0]}))
    assert finding.state == "failed"


# ---- files


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The references in a place where a test may spoil them."""
    path = tmp_path / "references.json"
    path.write_bytes(regress.NUMBERS.read_bytes())
    monkeypatch.setattr(regress, "NUMBERS", path)
    return path


def test_every_case_has_a_reference_of_enough_seeds_and_no_other_has() -> None:
    known = regress.references()
    assert [case.name for case in regress.cases()] == list(known)
    for case in regress.cases():
        reference = known[case.name]
        trained = case.subset.tier == "psnr" and registry.find(case.method).learns()
        assert len(reference.seeds) == (len(regress.SEEDS) if trained else 1)
        assert len(reference.losses) == (regress.LOSSES if case.subset.tier == "losses" else 0)


def test_an_unknown_case_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'synthetic/n2n/gauss25/losses'"):
        list(regress.compared(["synthetic/n2n/gauss25/loses"]))


def test_a_missing_reference_is_an_error_before_anything_runs(copied: Path) -> None:
    known = msgspec.json.decode(copied.read_bytes())
    del known[SHORT["b2u"]]
    copied.write_bytes(msgspec.json.encode(known))
    with pytest.raises(InputError, match=f"--update {SHORT['b2u']}"):
        next(regress.compared([SHORT["noisy"], SHORT["b2u"]]))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": {"losses": "none"}}', None])
def test_damaged_references_are_an_error(content: bytes | None, copied: Path) -> None:
    copied.unlink() if content is None else copied.write_bytes(content)
    with pytest.raises(InputError, match="--update"):
        next(regress.compared())


@pytest.mark.parametrize(("old", "new", "words"), [
    ("crop = 32", "cropp = 32", "Did you mean 'crop'"), ('tier = "losses"', 'tier = "loss"', "loss"),
    ('"b2u"]', '"b2w"]', "Did you mean 'b2u'"), ("[[subsets]]", "[[subsets", "cases.toml"),
])  # fmt: skip
def test_a_typo_in_the_cases_is_an_error(
    old: str, new: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = regress.CASES.read_text(encoding="utf-8")
    (tmp_path / "cases.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    monkeypatch.setattr(regress, "CASES", tmp_path / "cases.toml")
    with pytest.raises(InputError, match=words.replace("[", r"\[")):
        [regress._cells(case, [0]) for case in regress.cases()]


def test_update_writes_what_the_check_accepts(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scoring_noise(monkeypatch)
    assert red("noisy")
    assert regress.update([SHORT["noisy"]]) == []
    assert not red("noisy")
    assert set(regress.references()) == {case.name for case in regress.cases()}


def test_absent_data_are_skipped_with_the_reason(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*args: object) -> regress.Numbers:
        raise AbsentError("no folder kodak")

    before = regress.references()
    monkeypatch.setattr(regress, "measure", absent)
    (finding,) = regress.compared([SHORT["noisy"]])
    assert (finding.state, finding.found) == ("skipped", "no folder kodak")
    assert regress.update([SHORT["noisy"]]) == [f"{SHORT['noisy']}: skipped: no folder kodak"]
    assert regress.references() == before


def test_the_command_fails_where_a_case_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench("regress", SHORT["noisy"]).code == 0
    scoring_noise(monkeypatch)
    assert bench("regress", SHORT["noisy"]).code == 1
