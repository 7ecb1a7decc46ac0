"""Records of every released schema and shape stay readable, and tables come from them: tests/fixtures/schemaN/SHAPE."""

import json
import shutil
from pathlib import Path

import pytest
from support.cli import bench, line, lines

from bench.methods import registry
from bench.protocol import plan
from bench.store.record import SCHEMA
from bench.store.store import Store

FIXTURES = Path(__file__).parents[1] / "fixtures"
SHAPES = {  # of schema 1, with the preset that the records were made with
    "first": ("reduced", "set14"),  # times in the records of fits and scores
    "second": ("mini", "embedded_test"),  # scores without times, fits with the PSNR of one crop
    "third": ("tiny", "embedded_test"),  # times beside the records, scores with the digest of their weights
    "fourth": ("tiny", "embedded_test"),  # scores with the digest of their rows; external weights
}
PLACES = [(f"schema{schema}", shape) for schema in range(1, SCHEMA + 1) for shape in SHAPES]


@pytest.fixture(autouse=True)
def _as_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Revisions of then: a later one rightly leaves these records out of its tables, which is not the question."""
    monkeypatch.setattr(plan, "LOOP_REVISION", 1)
    for method in ("n2c", "noisy", "blur"):
        monkeypatch.setattr(registry.find(method), "revision", 1)


def test_every_shape_has_its_fixtures() -> None:
    found = {(path.parent.name, path.name) for path in FIXTURES.glob("schema*/*") if path.is_dir()}
    assert found == set(PLACES)


@pytest.mark.parametrize(("schema", "shape"), PLACES)
def test_every_record_is_read_with_its_rows(schema: str, shape: str) -> None:
    store = Store(FIXTURES / schema / shape)
    records, wrong = store.look()
    assert wrong == []
    assert len(records) >= 3
    assert all(store.whole(record) == record for record in records)
    assert {record.schema for record in records} == {int(schema.removeprefix("schema"))}
    assert all(store.rows(record) for record in records if record.kind == "score")
    fit = next(record for record in records if record.title == "n2c gauss25 seed 0")
    assert store.seconds(fit, fit) is not None
    assert store.asked() <= {"synthetic"}


@pytest.mark.parametrize(("schema", "shape"), PLACES)
def test_tables_come_from_them(schema: str, shape: str, tmp_path: Path) -> None:
    """The numbers are those of the files, read without our code."""
    folder, (preset, test) = FIXTURES / schema / shape, SHAPES[shape]
    suite = shutil.copy(FIXTURES / schema / "suite.toml", tmp_path)
    asked = ("--suite", suite, "--preset", preset, "--noise", "gauss25", "--store", folder)
    found = lines(*asked)
    scores = [json.loads(path.read_bytes()) for path in folder.glob("scores/*.json")]
    for score in scores:
        if score["label"]["method"] != "blur":  # its best width is chosen
            label = {"n2c": "N2C"}.get(score["label"]["method"], score["label"]["method"])
            (mean,) = score["result"]["outputs"].values()
            one = line(found, label=label, test=test)
            assert (one["state"], one["psnr"], one["ssim"]) == ("done", mean["psnr"], mean["ssim"])
            assert one["images"] == mean["images"]
    assert line(found, label="N2C", test=test)["seconds"] is not None
    assert "damaged" not in bench("tables", *asked).out


@pytest.mark.parametrize(("schema", "shape"), PLACES)
def test_they_can_be_exchanged(schema: str, shape: str, tmp_path: Path) -> None:
    """A later version takes them as they were, and tells their rows from others."""
    folder = FIXTURES / schema / shape
    assert bench("export", tmp_path / "old.zip", "n2c", "gauss25", "--store", folder).code == 0
    result = bench("merge", tmp_path / "old.zip", "--store", tmp_path / "new")
    if shape in ("third", "fourth"):  # of a preset that only the fixtures' suite has
        assert result.code == 1
        assert "unknown preset" in result.err
        return
    theirs, ours = ({record.key: record for record in Store(root).look()[0]} for root in (folder, tmp_path / "new"))
    assert all(ours[key].environment == theirs[key].environment for key in ours)
    assert all(ours[key].result.items() >= theirs[key].result.items() for key in ours)
