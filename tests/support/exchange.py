"""Archives of records: written by the command, taken apart, and packed again by somebody else."""

import json
import zipfile
from pathlib import Path

from bench.store import exchange
from support.cli import Result, bench
from support.tiny import Tiny

Members = dict[str, bytes]


def export(place: Tiny, file: Path, *argv: object) -> Path:
    result = bench("export", file, *argv, "--store", place.store)
    assert result.code == 0, result.err
    return file


def merge(source: Path, store: Path) -> Result:
    return bench("merge", source, "--store", store)


def records(store: Path) -> list[Path]:
    return [path for path in store.rglob("*.json") if path.name != "bench-store.json"]


def members(archive: Path) -> Members:
    with zipfile.ZipFile(archive) as packed:
        return {info.filename: packed.read(info) for info in packed.infolist()}


def packed(path: Path, files: Members, manifest: bool = True) -> Path:
    """An archive of these members, its manifest right."""
    if manifest:
        told = {
            name: exchange.hashlib.sha256(text).hexdigest() for name, text in files.items() if name != "manifest.json"
        }
        files = files | {"manifest.json": json.dumps({"files": told, "schema": 1, "version": "0.1.0"}).encode()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return path
