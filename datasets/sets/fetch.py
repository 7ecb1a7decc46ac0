"""The missing images of a set, from mirrors and origins, each checked before it gets its name."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from filelock import FileLock, Timeout

from .. import files
from ..errors import InputError, few, one_line
from .catalogue import Reference
from .download import Check, Patience, Report, Unreachable, download
from .find import find_known
from .image_set import CatalogueSet, Finding, compare

Address = tuple[str, Path]  # a URL and the file it becomes
STRIKES = 3  # files in a row that a server fails to give before it is not asked again
USUAL = Patience()


def fetch(
    name: str, data: Path | None, mirrors: Sequence[str], report: Report, patience: Patience = USUAL
) -> list[Path]:
    """Downloads the missing images of a set and returns where they lie.

    Mirrors are addresses of folders laid out like `data`, and are asked before the origins. No file is overwritten.
    InputError naming what is wrong or could not be downloaded; what was downloaded stays.
    """
    for mirror in mirrors:
        if not mirror.startswith(("http://", "https://")):
            raise InputError(f"mirror {mirror!r}: expected an address that begins with http:// or https://")
    image_set = find_known(name)
    findings = image_set.verify(data)
    wrong = [finding.detail for finding in findings if finding.state in ("altered", "other shape", "unreadable")]
    failures = [InputError(f"{detail}; not overwritten: move it away and fetch again") for detail in wrong]
    fetched = []
    for outcome in _obtain(image_set, findings, data, mirrors, report, patience):
        if isinstance(outcome, Path):
            fetched.append(outcome)
        else:
            failures.append(outcome)
    if failures:
        reasons = few([str(error) for error in failures], "; ")
        raise InputError(f"{name}: {len(fetched)} images fetched, {len(failures)} failed: {reasons}")
    return fetched


def _obtain(
    image_set: CatalogueSet,
    findings: list[Finding],
    data: Path | None,
    mirrors: Sequence[str],
    report: Report,
    patience: Patience,
) -> Iterator[Path | InputError]:
    """Each missing image, or why it could not be downloaded."""
    missing = {finding.name for finding in findings if finding.state == "missing"}
    if not missing:
        return
    name, whole, folder = image_set.name, image_set.whole, image_set.place(data)
    if not whole.urls:
        yield InputError(f"no address to download from; get: {image_set.how_to_get} (they belong into {folder})")
        return
    rows = [row for row in image_set.references if row.stem in missing]
    bases = [f"{mirror.rstrip('/')}/{whole.folder}" for mirror in mirrors]
    get = partial(_first, bases, Counter(), report, patience)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".fetch.lock", timeout=0):
            for row in rows:
                origins = [
                    (url.replace("{stem}", quote(row.stem)), folder / f"{row.stem}{PurePosixPath(url).suffix}")
                    for url in whole.urls
                ]
                try:
                    yield get(origins, partial(_check_image, name, row))
                except InputError as error:
                    yield error
    except Timeout:
        yield InputError(f"{folder}: another process downloads into it; wait until it is done")
    except OSError as error:
        yield InputError(f"{folder}: cannot be written ({one_line(error)})")


def _first(
    bases: Sequence[str],
    strikes: Counter[str],
    report: Report,
    patience: Patience,
    origins: Sequence[Address],
    check: Check,
) -> Path:
    """The file of the first address that has the right one; InputError saying what was found at each."""
    targets = dict.fromkeys(target for _, target in origins)
    errors: list[InputError] = []
    for url, target in [(f"{base}/{quote(to.name)}", to) for base in bases for to in targets] + list(origins):
        server = url.split("/")[2]  # http://SERVER/PATH
        if strikes[server] >= STRIKES:
            errors.append(InputError(f"{url}: not asked, since its server failed {STRIKES} times in a row"))
            continue
        try:
            download(url, target, check, report, patience)
        except InputError as error:
            strikes[server] = strikes[server] + 1 if isinstance(error, Unreachable) else 0
            errors.append(error)
        else:
            strikes[server] = 0
            return target
    raise InputError(f"{next(iter(targets))}: {'; '.join(map(str, errors))}")


def _check_image(name: str, row: Reference, path: Path) -> None:
    found = files.sha256(path)
    if found == row.file:
        return
    try:
        _, detail, _ = compare(name, row, path)
    except InputError as error:
        detail = str(error)
    if detail:  # else other bytes, the same pixels
        expected = f"SHA-256 {row.file}, or the same pixels"
        raise InputError(f"expected {expected}; found {path.stat().st_size} bytes of SHA-256 {found}: {detail}")
