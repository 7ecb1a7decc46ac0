"""Settings: a method with one other field is a row of its own, with the keys of an equal configuration."""

from pathlib import Path
from typing import Any

import pytest
from support.cli import altered_suite

from bench.datasets.errors import InputError
from bench.methods.b2u import B2U
from bench.methods.networks.registry import read
from bench.protocol.plan import Cell, make
from bench.protocol.request import Request
from bench.protocol.settings import canonical
from bench.store.match import request_of_label


def cells(*settings: str, **request: Any) -> dict[str, Cell]:
    plan = make(Request(settings=settings, noises=("gauss25",), **request))
    return {cell.name: cell for cell in plan.cells if cell.name not in ("noisy", "blur")}


def b2u(cell: Cell) -> B2U:
    assert isinstance(cell.fit.method, B2U)
    return cell.fit.method


def test_each_value_is_a_cell_of_its_own() -> None:
    found = cells("b2u.lambda_f=2,40", methods=("b2u",))
    assert [*found] == ["b2u", "b2u, lambda_f=2", "b2u, lambda_f=40"]
    assert [b2u(cell).lambda_f for cell in found.values()] == [20.0, 2.0, 40.0]
    assert len({cell.fit.key for cell in found.values()}) == 3


def test_the_keys_are_those_of_an_equal_configuration() -> None:
    found = cells("b2u.lambda_f=2", "b2u.mapper=rm", "b2u.lambda_f=20", methods=("b2u", "b2u-lambda2", "b2u-rmv"))
    assert found["b2u, lambda_f=2"].fit.key == found["b2u-lambda2"].fit.key
    assert found["b2u, lambda_f=2"].scores[0].key == found["b2u-lambda2"].scores[0].key
    assert found["b2u, mapper=rm"].fit.key == found["b2u-rmv"].fit.key
    assert found["b2u, lambda_f=20"].fit.key == found["b2u"].fit.key


def test_a_setting_changes_one_field_of_a_preset_or_configuration() -> None:
    found = cells("b2u.net.width=8", "b2u-rm.eta=0")
    assert (b2u(found["b2u, net.width=8"]).net.width, b2u(found["b2u, net.width=8"]).s) == (8, 2)
    assert (b2u(found["b2u-rm, eta=0"]).mapper, b2u(found["b2u-rm, eta=0"]).eta) == ("rm", 0.0)


def test_a_nested_field_of_a_suite_stays_where_another_one_is_set(tmp_path: Path) -> None:
    suite = altered_suite(tmp_path, "[presets.mini.fields.b2u]\n", "[presets.mini.fields.b2u]\nnet = { width = 4 }\n")
    (cell,) = cells("b2u.net.slope=0.2", suite=str(suite)).values()
    assert (b2u(cell).net.width, b2u(cell).net.slope) == (4, 0.2)


def test_a_setting_has_the_budget_of_its_method() -> None:
    found = cells("self2self.ensemble=4", methods=("self2self",))
    one, other = found["self2self"], found["self2self, ensemble=4"]
    assert (one.fit.steps, one.fit.batch) == (other.fit.steps, other.fit.batch)
    assert one.scores[0].centre_crop == other.scores[0].centre_crop > 0


@pytest.mark.parametrize("texts", [("b2u.s=2,4",), ("b2u.s=2.0", "b2u.s=4"), ("b2u.s=2", "b2u.s=4", "b2u.s=2")])
def test_equal_settings_are_one(texts: tuple[str, ...]) -> None:
    assert canonical(texts) == ("b2u.s=2", "b2u.s=4")


@pytest.mark.parametrize(
    "text",
    ["b2u.s", "b2u=3", "b2u.s=", "b2u.s=2,", "b2u.s=[1]", "b2u.s={}", "b2u.s=null", "b2u.a.b.c.d.e.f=1", ".s=2",
     "b2u.mapper=a+b", f"b2u.s={'1' * 200}"],
)  # fmt: skip
def test_another_form_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match="--set"):
        canonical([text])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("b2u.lamda_f=2", "Did you mean 'lambda_f'"),
        ("b2u.net.widht=8", "Did you mean 'width'"),
        ("b2uu.s=2", "Did you mean 'b2u'"),
        ("b2u.mapper=gn", "gn"),
        ("b2u.lambda_f=high", "float"),
        ("b2u.s=1", "s = 1"),
    ],
)
def test_a_name_or_value_that_does_not_fit_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        cells(text)


@pytest.mark.parametrize("settings", [("b2u.s=2,4", "b2u.mapper=rm"), ("b2u.lambda_f=1e5",), ("b2u.visible=false",)])
def test_a_label_names_the_settings_and_leads_back_to_the_request(settings: tuple[str, ...]) -> None:
    request = Request(settings=settings, steps=20)
    assert "set=b2u." in request.label
    found = request_of_label("synthetic", request.label)
    assert found.label == request.label
    assert cells(*found.settings, steps=20).keys() == cells(*settings, steps=20).keys()


def test_a_network_is_a_setting_like_others_but_not_together_with_net() -> None:
    found = cells("b2u.net=unet,dncnn")
    assert len({cell.fit.key for cell in found.values()}) == 2
    with pytest.raises(InputError, match="--net"):
        cells("b2u.net.width=8", net="dncnn")


@pytest.mark.parametrize(
    "setting",
    [
        "b2u.net.width=1e9", "b2u.net.width=0", "laine19.net.width=5000", "dbsn.width=1600", "dbsn.blocks=1e9",
        "self2self.width=1e9", "self2self.ensemble=1e9", "r2r.ensemble=1e9",
    ],
)  # fmt: skip
def test_a_network_without_end_is_refused(setting: str) -> None:
    with pytest.raises(InputError):
        cells(setting)


@pytest.mark.parametrize("field", ["width", "depth"])
def test_a_dncnn_without_end_is_refused(field: str) -> None:
    with pytest.raises(InputError, match=field):
        read({"name": "dncnn", field: 10**9})
