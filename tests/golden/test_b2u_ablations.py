"""Blind2Unblind's ablations: random spots instead of the global mapper, no visible term, the loss of Eq. 7."""

from typing import Any

import numpy as np
import pytest
import torch
from msgspec import structs
from torch import Tensor, nn
from torch.nn import functional as F

from bench.datasets.noise.model import parse
from bench.methods.b2u import B2U
from bench.methods.base import Batch
from bench.methods.networks.unet import UNetConfig
from bench.methods.rng import Rng
from bench.protocol.suites import Recipe
from bench.protocol.units import Fit, changed_fields, digest

from .conftest import cases, golden
from .official import Given, Probe, Recorder, context

MASK, LOSS = golden("b2u_mask"), golden("b2u_loss")
CELL = 16  # places in a 4x4 cell


class Outputs(nn.Module):
    """One output for the noisy image itself, another for whatever is masked."""

    def __init__(self, noisy: Tensor, blind: Tensor, visible: Tensor | None) -> None:
        super().__init__()
        self.noisy, self.blind, self.visible = noisy, blind, visible

    def forward(self, x: Tensor) -> Tensor:
        """A group of masked images has the blind output for each of its members."""
        if torch.equal(x, self.noisy):
            assert self.visible is not None, "no visible output is asked for"
            return self.visible
        return self.blind.repeat(len(x) // len(self.blind), 1, 1, 1)


def given(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """noisy, blind, visible."""
    noisy, blind, visible = (torch.from_numpy(LOSS[name]).to(dtype) for name in ("noisy", "blind", "visible"))
    return noisy, blind, visible


def loss(method: B2U, lam: float = 2.0, visible: Tensor | None = None) -> float:
    """The sum of the loss's parts with the recorded outputs and draws; `lam` is lambda in every epoch."""
    noisy, blind, recorded = given()
    seen = (recorded if visible is None else visible) if method.visible else None
    method = structs.replace(method, lambda_s=lam, plateau=1.0)
    losses = method.losses(Outputs(noisy, blind, seen), Batch(noisy), context(rng=Given(LOSS["rm_idx"], CELL)))
    return float(torch.stack(list(losses)).sum())


# ---- Table 6: random spots, with and without the visible term


def spots(method: B2U, net: nn.Module, y: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
    """Where the random spots are [B, 1, H, W], and the answer there, zero elsewhere [B, C, H, W]."""
    chosen, answer = method.random_spots(net, y, rng)
    where = chosen == torch.arange(method.s**2).view(-1, 1, 1)  # [B, s * s, H/s, W/s]
    spread = (answer * where.unsqueeze(1)).flatten(1, 2)
    return F.pixel_shuffle(where.float(), method.s) > 0, F.pixel_shuffle(spread, method.s)


def test_random_spots_mask() -> None:
    """One pixel of every cell, where the official code put it."""
    x = torch.from_numpy(MASK["x"])
    where, _ = spots(B2U(s=4), Probe(), x, Given(MASK["rm_idx"], CELL))
    np.testing.assert_array_equal(where.numpy(), MASK["rm_mask"].astype(bool))


def test_random_spots_input() -> None:
    """Filled by the weighted neighbours."""
    x, net = torch.from_numpy(MASK["x"]), Recorder()
    spots(B2U(s=4), net, x, Given(MASK["rm_idx"], CELL))
    (seen,) = net.seen
    torch.testing.assert_close(seen, torch.from_numpy(MASK["rm_input"]), rtol=0, atol=1e-5)


def test_random_spots_answer() -> None:
    """The network's output at the spots, zero elsewhere."""
    x = torch.from_numpy(MASK["x"])
    _, answer = spots(B2U(s=4), Probe(), x, Given(MASK["rm_idx"], CELL))
    expected = Probe()(torch.from_numpy(MASK["rm_input"])) * torch.from_numpy(MASK["rm_mask"])
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("s", [2, 4])
def test_random_spots_of_own_draws(s: int) -> None:
    """One pixel of every cell, all places equally often, different in every image."""
    rng = Rng(0, torch.arange(8))
    y = torch.from_numpy(np.random.default_rng(0).random((8, 1, 64, 96)))
    where, _ = spots(B2U(s=s), Probe(), y, rng)
    cells = where.view(8, 64 // s, s, 96 // s, s).permute(0, 1, 3, 2, 4).flatten(3).long()
    assert (cells.sum(3) == 1).all()
    assert len({image.numpy().tobytes() for image in where}) == 8
    counts, expected = cells.sum((0, 1, 2)), 8 * 64 * 96 / s**4
    assert ((counts - expected).abs() < 5 * expected**0.5).all()


def test_rm_loss() -> None:
    """Random spots alone: the mean over all pixels; no visible output is computed."""
    assert loss(B2U(mapper="rm", visible=False)) == pytest.approx(float(LOSS["rm_loss"]), rel=1e-4)


def test_gm_loss() -> None:
    """The global mapper alone; no visible output is computed."""
    assert loss(B2U(visible=False)) == pytest.approx(float(LOSS["gm_loss"]), rel=1e-4)


def test_rmv_terms() -> None:
    """Both differences at the random spots alone, lambda = beta."""
    beta = float(LOSS["rmv_beta"])
    revisible = loss(B2U(mapper="rm", eta=0.0), lam=beta)
    assert revisible == pytest.approx(float(LOSS["rmv_loss_rev"]), rel=1e-4)
    # The recorded regular term has eta = 1 or that of row 0; the arrays do not say which.
    etas = (1.0, cases("b2u_loss")[0]["alpha(eta)"])
    regular = [loss(B2U(mapper="rm", eta=eta), lam=beta) - revisible for eta in etas]
    assert any(found == pytest.approx(float(LOSS["rmv_loss_reg"]), rel=1e-4) for found in regular)


# ---- Table 5: loss B


@pytest.mark.parametrize(("lam", "eta"), [(2.0, 1.0), (20.0, 0.5), (1.0, 0.0)])
def test_loss_b(lam: float, eta: float) -> None:
    """Eq. 7: mean((lambda d2 - d1)^2) + eta mean(d1^2); loss A is 4 lambda mean(d1 d2) more."""
    noisy, blind, visible = (tensor.numpy() for tensor in given())
    d1, d2 = blind - noisy, visible - noisy
    expected = ((lam * d2 - d1) ** 2).mean() + eta * (d1**2).mean()
    assert loss(B2U(loss="b", eta=eta), lam=lam) == pytest.approx(expected, rel=1e-12)
    more = loss(B2U(loss="a", eta=eta), lam=lam) - expected
    assert more == pytest.approx(4.0 * lam * (d1 * d2).mean(), rel=1e-6)


@pytest.mark.parametrize("mapper", ["gm", "rm"])
def test_losses_a_and_b_are_equal_where_the_visible_output_is_the_noisy_image(mapper: Any) -> None:
    """d2 = 0 leaves (1 + eta) mean(d1^2), whatever lambda."""
    noisy, _, _ = given()
    a, b = (loss(B2U(mapper=mapper, loss=kind, eta=0.7), lam=3.0, visible=noisy) for kind in ("a", "b"))  # type: ignore[arg-type]
    assert a == b == pytest.approx(1.7 * float(LOSS[f"{mapper}_loss"]), rel=1e-4)


# ---- the defaults


def test_defaults_leave_the_loss_as_it_was() -> None:
    """Naming the new fields' defaults changes nothing, and they give the official total."""
    case = cases("b2u_loss")[0]
    named = B2U(mapper="gm", loss="a", visible=True)
    assert named == B2U()
    found = loss(structs.replace(named, eta=case["alpha(eta)"]), lam=case["beta"])
    assert found == pytest.approx(case["loss_all"], rel=1e-4)


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        (B2U(), {}),
        (B2U(mapper="gm", loss="a", visible=True, s=4), {}),
        (B2U(s=2), {"s": 2}),
        (B2U(mapper="rm"), {"mapper": "rm"}),
        (B2U(loss="b"), {"loss": "b"}),
        (B2U(visible=False), {"visible": False}),
    ],
)
def test_changed_fields_are_those_that_differ_from_their_defaults(method: B2U, fields: dict[str, Any]) -> None:
    """A method equal to its defaults has none."""
    assert changed_fields(method) == fields


def test_a_changed_field_of_the_network_counts() -> None:
    """With all of the network's fields."""
    assert changed_fields(B2U(net=UNetConfig(width=8))).keys() == {"net"}


def fit(method: B2U) -> Fit:
    """A training on a set of the catalogue."""
    return Fit(
        name="b2u", method=method, noise=parse("gauss25"), seed=0, channels=3, train="bsds500_train",
        train_noise="fresh", crop=64, batch=4, steps=100, epochs=100,
        recipe=Recipe(schedule="cycle", lr=1e-3, beta2=0.95, weight_decay=1e-8),
    )  # fmt: skip


def test_every_ablation_has_a_key_of_its_own() -> None:
    """And what names the defaults has the default's."""
    methods = [B2U(), B2U(loss="b"), B2U(visible=False), B2U(mapper="rm"), B2U(mapper="rm", visible=False)]
    assert len({fit(method).key for method in methods}) == len(methods)
    assert fit(B2U(mapper="gm", loss="a", visible=True)).key == fit(B2U()).key


def test_the_new_fields_are_in_no_key_of_the_default() -> None:
    """Frozen: a change would orphan the records of every default training."""
    identity = fit(B2U()).identity | {"revision": [1, 1]}
    assert identity["fields"] == {}
    assert digest(identity) == "24eaa2d2fab31dcdf4b8537c"
