"""What differs between two identities is said in words."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from bench.protocol import units
from bench.protocol.differences import differences
from bench.protocol.plan import make
from bench.protocol.request import Request
from bench.protocol.units import Fit

FIT: dict[str, Any] = {
    "method": "b2u",
    "fields": {"s": 2, "net": {"width": 4}},
    "revision": [1, 2],
    "noise": "gauss25",
    "train": "5fda0dfe" + "0" * 56,
    "steps": 600,
    "recipe": {"lr": 0.001, "warmup": 0.3},
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"steps": 300}, ["steps 300 instead of 600"]),
        ({"revision": [2, 2]}, ["revision of the method 2 instead of 1"]),
        ({"revision": [1, 1]}, ["revision of the harness 1 instead of 2"]),
        ({"train": "9a" + "0" * 62}, ["training images 9a000000.. instead of 5fda0dfe.."]),
        ({"fields": {"s": 2, "net": {"width": 8}}}, ["fields.net.width 8 instead of 4"]),
        ({"fields": {}}, ["fields.s none instead of 2", "fields.net.width none instead of 4"]),
        ({"recipe": {"lr": 0.001, "warmup": 1}}, ["recipe.warmup 1 instead of 0.3"]),
        ({"noise": "gauss25" * 9}, [f"noise {('gauss25' * 9)[:32]}.. instead of gauss25"]),
        ({"view": "bayer", "steps": 1}, ["steps 1 instead of 600", "view bayer instead of none"]),
        ({"steps": 600.0}, ["steps 600.0 instead of 600"]),  # their digests differ, too
    ],
)
def test_what_differs_is_named(change: dict[str, Any], said: list[str]) -> None:
    assert differences(FIT | change, FIT) == said


def test_equal_first_digits_are_no_equal_digests() -> None:
    assert differences(FIT | {"train": "5fda0dfe" + "1" * 56}, FIT) == [
        "training images 5fda0dfe.. instead of 5fda0dfe.."
    ]


def test_digests_differ_just_where_something_is_said(work: Callable[..., Fit]) -> None:
    """Every field of a real fit and score, changed."""
    fit = work("b2u")
    changes: list[dict[str, Any]] = [
        {"steps": 7},
        {"seed": 1},
        {"view": "bayer"},
        {"crop": 64},
        {"train_noise": "fixed"},
    ]
    for other in (structs.replace(fit, **change) for change in changes):
        assert len(differences(other.identity, fit.identity)) == 1
        assert units.digest(other.identity) != units.digest(fit.identity)
    (score, *_) = (score for cell in make(Request()).cells for score in cell.scores)
    assert differences(structs.replace(score, repeats=9).identity, score.identity) == ["repeats 9 instead of 1"]
    scoring = structs.replace(score.scoring, window="uniform7")
    assert differences(structs.replace(score, scoring=scoring).identity, score.identity) == [
        "scoring.window uniform7 instead of none"
    ]
