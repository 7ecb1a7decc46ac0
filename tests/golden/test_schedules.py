"""What changes from epoch to epoch: lambda, learning rate, gamma."""

import pytest

from bench.compute.step import schedule
from bench.methods.b2u import B2U
from bench.methods.nbr2nbr import NBR2NBR
from bench.protocol.suite_files import load
from bench.protocol.suites import Recipe, fields

from .conftest import golden, matching
from .official import context

ARRAYS = golden("schedules")
RATES = {"b2u": 3e-4, "b2u_real": 1e-4, "nbr": 3e-4}
CONFIGS = [name.removesuffix("_config") for name in matching("schedules", "beta_") if name.endswith("_config")]
BETAS = [name for name in matching("schedules", "beta_") if not name.endswith("_config")]
# The official scripts for real noise end the plateau at 0.4; for synthetic noise the suite must know.
PLATEAUS = {"sidd": 0.4, "fmdd": 0.4}


@pytest.mark.parametrize("name", BETAS)
def test_lambda(name: str) -> None:
    """The plateau of each noise, then the rise."""
    variant, noise = next((c, name.removeprefix(f"{c}_")) for c in CONFIGS if name.startswith(f"{c}_"))
    epochs, lambda_s, lambda_f = ARRAYS[f"beta_{variant}_config"].tolist()
    suite = load("synthetic")
    given = {"plateau": PLATEAUS[noise]} if noise in PLATEAUS else fields(suite, suite.presets["paper"], noise, "b2u")
    method = B2U(**given | {"lambda_s": lambda_s, "lambda_f": lambda_f})
    values = [method.lambda_at(context(e, round(epochs)).progress.t) for e in range(1, round(epochs) + 1)]
    assert values == pytest.approx(ARRAYS[f"beta_{name}"].tolist(), rel=0, abs=1e-9)


@pytest.mark.parametrize("name", matching("schedules", "lr_"))
def test_learning_rate(name: str) -> None:
    """The rate in force during each epoch."""
    expected = ARRAYS[f"lr_{name}"].tolist()
    recipe = Recipe(schedule="halving", lr=RATES[name.split("_", 1)[1]], beta2=0.999, weight_decay=0.0)
    epochs = len(expected)
    values = [recipe.lr * schedule(recipe, epoch, epochs, epochs) for epoch in range(epochs)]
    assert values == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.mark.parametrize("name", matching("schedules", "gamma_"))
def test_gamma(name: str) -> None:
    """Linear from the first epoch."""
    expected = ARRAYS[f"gamma_{name}"].tolist()
    method, epochs = NBR2NBR(gamma=float(name.split("_ratio")[1])), len(expected)
    values = [method.gamma_at(context(e, epochs).progress.t) for e in range(1, epochs + 1)]
    assert values == pytest.approx(expected, rel=0, abs=1e-9)
