"""What the checker of claims knows from the committed records."""

import pytest
from support.cli import CHECKOUT

from bench.report.claims import evidence


def test_the_evidence_is_what_the_committed_records_say() -> None:
    stores = [path.parent for path in (CHECKOUT / "results" / "measured").rglob("bench-store.json")]
    untrained = {fact for fact in evidence.facts() if fact.kind not in ("images", "seeds")}  # trained rows are remade
    assert untrained <= set(evidence.collect(*stores))
    assert {fact.kind for fact in evidence.facts()} >= {"noise", "blur", "score", "luma", "window", "images"}


def trained(seed: int, psnr: float, preset: str) -> evidence.Scored:
    return evidence.Scored("n2c", "denoised", "kodak", "gauss25", seed, preset, "gauss11", "rgb", {"a 0": (psnr, 0.9)})


@pytest.mark.parametrize("back", [1, -1])
def test_the_spread_over_seeds_is_that_of_trainings_that_differ_in_nothing_else(back: int) -> None:
    found = [
        trained(0, 30.0, "muon"),
        trained(1, 32.0, "muon, noise=gauss25, seeds=1+2"),
        trained(0, 50.0, "muon, steps=9"),
    ]
    (fact,) = evidence.spreads(found[::back])
    assert (fact.psnr, fact.images) == (pytest.approx(2**0.5), 2)
