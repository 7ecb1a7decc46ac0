"""Noise that a method was not trained for: a method that is not defined for it says so in its line."""

from pathlib import Path

from support.planted import plant

from bench.protocol.request import Request
from bench.report.tables import build


def test_a_line_says_that_its_method_is_not_defined_for_the_noise_of_the_test(tmp_path: Path) -> None:
    asked = {"noises": ("poisson30",), "tested": ("gauss25",)}
    names = ("noisy", "pure", "n2c")
    store = plant(tmp_path, {name: {"noisy": 20.0, "denoised": 30.0} for name in names}, **asked)
    (table,) = build(store, Request(methods=names, **asked), preset=True, number=1)
    found = {line.method: line for line in table.lines if line.tested == "gauss25"}
    state = found["pure"].state
    assert state.kind == "not defined"
    assert "Poisson" in str(state)
    assert found["noisy"].state.kind == "done"
    assert found["n2c"].tested == "gauss25"
