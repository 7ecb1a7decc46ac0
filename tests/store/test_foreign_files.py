"""Archives that nobody should trust: each is refused in one line, or what they say is checked."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from support.cli import bench, refused
from support.exchange import members, merge, packed, records
from support.tiny import Tiny

from bench.datasets.sets.archives import Limits
from bench.protocol.units import digest
from bench.store import exchange

# ---- files that nobody should trust


def test_no_path_leads_out_of_the_store(archive: Path, tmp_path: Path) -> None:
    for name in ("../evil.json", "/evil.json", "fits/../../evil.json", "fits\\..\\..\\evil.json"):
        bad = packed(tmp_path / "bad.zip", members(archive) | {name: b"{}"})
        assert "leads out of it" in refused("merge", bad, "--store", tmp_path / "new")
    assert not list(tmp_path.rglob("evil*"))
    assert not records(tmp_path / "new")
    assert not list((tmp_path / "new").rglob("*.tmp"))


@pytest.mark.parametrize(
    "name", ["fits/evil.json", "claims/x.lock", "fits/n2c/gauss25/x-00000000.checkpoint", "x/last.json"]
)
def test_only_records_are_unpacked(name: str, archive: Path, tmp_path: Path) -> None:
    bad = packed(tmp_path / "bad.zip", members(archive) | {name: b"{}"})
    assert "are no records" in refused("merge", bad, "--store", tmp_path / "new")


def test_what_the_manifest_does_not_say_is_refused(archive: Path, tmp_path: Path) -> None:
    whole = members(archive)
    name = next(name for name in whole if name.startswith("scores/") and name.endswith(".json"))
    for files, said in (
        ({one: text for one, text in whole.items() if one != "manifest.json"}, "no manifest.json"),
        ({one: text for one, text in whole.items() if one != name}, "its members differ"),
        (whole | {"fits/n2c/gauss25/x-00000000.json": b"{}"}, "its members differ"),
        (whole | {name: whole[name].replace(b"psnr", b"PSNR")}, "other bytes than its manifest says"),
        (whole | {"manifest.json": b"[" * 10**5}, "manifest.json"),
        (whole | {"manifest.json": b'{"files": {}, "schema": 9}'}, "schema 9, this version reads up to 1"),
    ):
        bad = packed(tmp_path / "bad.zip", files, manifest=False)
        assert said in refused("merge", bad, "--store", tmp_path / "new")
    assert not records(tmp_path / "new")


def test_bombs_and_what_is_no_archive_are_refused(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("last.json", bytes(10**7))
    assert "bytes unpacked, found more" in refused("merge", tmp_path / "bomb.zip", "--store", tmp_path / "new")
    (tmp_path / "half.zip").write_bytes(archive.read_bytes()[:-100])
    assert "expected a whole zip file" in refused("merge", tmp_path / "half.zip", "--store", tmp_path / "new")
    assert "no such file" in refused("merge", tmp_path / "none.zip", "--store", tmp_path / "new")
    assert "no store" in refused("merge", tmp_path, "--store", tmp_path / "new")
    monkeypatch.setattr(exchange, "LIMITS", Limits(count=3))
    assert "expected at most 3 entries" in refused("merge", archive, "--store", tmp_path / "new")
    assert not records(tmp_path / "new")


def test_a_request_that_no_table_can_be_made_of_is_not_taken(filled: Tiny, archive: Path, tmp_path: Path) -> None:
    whole = members(archive)
    last = json.loads(whole["last.json"])
    last["requests"] |= {"gray": {"suite": "gray", "preset": "no such"}, "raw": {"suite": "/no/such.toml"}}
    bad = packed(tmp_path / "bad.zip", whole | {"last.json": json.dumps(last).encode()})
    assert merge(bad, tmp_path / "new").code == 0
    assert set(json.loads((tmp_path / "new" / "last.json").read_bytes())["requests"]) == {str(filled.suite)}
    assert bench("tables", "--store", tmp_path / "new").code == 0


def test_digests_of_folders_that_are_here_are_not_believed(filled: Tiny, archive: Path, tmp_path: Path) -> None:
    whole = members(archive)
    last = json.loads(whole["last.json"])
    forged = last | {"folders": dict.fromkeys(last["folders"], "0" * 64)}
    bad = packed(tmp_path / "bad.zip", whole | {"last.json": json.dumps(forged).encode()})
    assert merge(bad, tmp_path / "new").code == 0
    assert json.loads((tmp_path / "new" / "last.json").read_bytes())["folders"] == last["folders"]


def test_what_a_file_says_is_printed_in_one_line(archive: Path, tmp_path: Path) -> None:
    whole = members(archive)
    for name in [name for name in whole if name.startswith("fits/") and name.endswith(".json")]:
        whole[name] = json.dumps(json.loads(whole[name]) | {"title": "a\n\x1b[2J" + "b" * 9999}).encode()
    result = merge(packed(tmp_path / "bad.zip", whole), tmp_path / "new")
    assert result.code == 0  # the key says what it is, whatever it is called
    for name in [name for name in whole if name.startswith("fits/") and name.endswith(".json")]:
        whole[name] = json.dumps(
            json.loads(whole[name]) | {"label": {"suite": "x\n", "preset": "", "method": ""}}
        ).encode()
    result = merge(packed(tmp_path / "bad.zip", whole), tmp_path / "new")
    assert (result.code, len(result.err.splitlines())) == (1, 2)
    assert all(row.isprintable() and len(row) < 2100 for row in result.err.splitlines())
    assert "\x1b" not in bench("show", "", "--store", tmp_path / "new").out


def test_a_folder_that_is_not_here_is_named(filled: Tiny, tmp_path: Path) -> None:
    """Without the digests that the other store remembers, nobody can tell."""
    store = shutil.copytree(filled.store, tmp_path / "store")
    last = json.loads((store / "last.json").read_bytes())
    away = filled.folder.rename(filled.folder.with_name("away"))
    try:
        suite = tmp_path / "tiny.toml"
        suite.write_bytes((away / "tiny.toml").read_bytes())
        request = next(iter(last["requests"].values())) | {"suite": str(suite)}
        for folders, code in (({}, 1), (last["folders"], 0)):
            (store / "last.json").write_text(json.dumps({"folders": folders, "requests": {str(suite): request}}))
            result = merge(store, tmp_path / f"new{code}")
            assert (result.code, result.err.count("its folder of images is not here")) == (code, 6 * code)
    finally:
        away.rename(filled.folder)


def test_a_record_with_a_digest_of_its_own_is_another_question(filled: Tiny, archive: Path, tmp_path: Path) -> None:
    """A forger can give a wrong identity its right key; then it answers what nobody here asks."""
    whole = members(archive)
    name = next(one for one in whole if one.startswith("scores/") and b'"title": "n2c' in whole[one])
    found = json.loads(whole.pop(name))
    rows = whole.pop(name.replace(".json", ".rows.jsonl"))
    identity = found["identity"] | {"repeats": 7}
    found |= {"identity": identity, "key": digest(identity)}
    stem = f"scores/n2c/gauss25/x-{found['key'][:8]}"
    whole |= {f"{stem}.json": json.dumps(found).encode(), f"{stem}.rows.jsonl": rows}
    result = merge(packed(tmp_path / "bad.zip", whole), tmp_path / "new")
    assert result.code == 1
    assert "foreign: repeats 7 instead of 1" in result.err
