"""`bench data`: what the image sets are, where they come from, what is there and whether it is right."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from ..errors import InputError, unknown
from ..formats.pack import Pack
from ..images import SetImage
from .catalogue import catalogue
from .duplicates import near_duplicates
from .fetch import fetch
from .find import find_known
from .prepare import prepare_ilsvrc, prepare_sidd, prepare_sidd_srgb

Report = Callable[[int, int, str], None]  # done, total (0: not known), of what
PREPARED = {"ilsvrc2012_val": prepare_ilsvrc, "sidd_medium": prepare_sidd, "sidd_medium_srgb": prepare_sidd_srgb}


def listed(data: Path | None) -> pd.DataFrame:
    """Every set with what is found of it under the data folder."""
    rows = []
    for name, known in catalogue().items():
        try:
            found = find_known(name).summary(data)
        except InputError:
            state = "unreadable"  # `verify` says why
        else:
            total = found.found + found.missing
            state = "all there" if not found.missing else f"{found.found} of {total}" if found.found else "missing"
        rows.append({"set": name, "images": str(known.count), "role": known.role, "found": state, "what": known.title})
    return pd.DataFrame(rows)


def shown(name: str, data: Path | None) -> pd.DataFrame:
    """What a set is, where it comes from, its licence, where it lies and how to get it."""
    image_set = find_known(name)
    known, found = image_set.entry, image_set.summary(data)
    facts = {
        "title": known.title,
        "role": known.role,
        "images": f"{known.count} of {known.channels} channel(s)",
        "frames": str(known.frames) if known.frames > 1 else "",
        "source": known.source,
        "licence": known.licence,
        "part of": known.part_of,
        "lies in": image_set.where(data),
        "found": f"{found.found}, missing {found.missing}",
        "get": image_set.how_to_get,
        "digests": f"{len(image_set.references)} known",
    }
    return pd.DataFrame({"what": list(facts), "value": list(facts.values())}).query("value != ''")


def fetched(names: Sequence[str], data: Path, mirrors: Sequence[str], report: Report) -> pd.DataFrame:
    """Downloads what is missing of each set; goes on with the others when one fails."""
    rows = []
    for name in names:
        find_known(name)
    for name in names:
        try:
            count = len(fetch(name, data, mirrors, report))
            rows.append({"set": name, "result": f"{count} images fetched" if count else "all there", "why": ""})
        except InputError as error:
            rows.append({"set": name, "result": "failed", "why": str(error)})
    return pd.DataFrame(rows)


def verified(names: Sequence[str], data: Path | None, report: Report) -> tuple[pd.DataFrame, bool]:
    """What is wrong with each set, and which images of two sets show one photograph; whether all is right."""
    rows = []
    right = []
    for name in names:
        findings = find_known(name).verify(data)
        wrong = [finding for finding in findings if finding.state != "ok"]
        right += [name] * (not wrong)
        rows.append(
            {"set": name, "image": "", "state": f"{len(findings) - len(wrong)} ok, {len(wrong)} not", "what": ""}
        )
        rows += [{"set": name, "image": f.name, "state": f.state, "what": f.detail} for f in wrong]
    rows += _overlaps(right, data, report)
    return pd.DataFrame(rows), len(right) == len(names)


def _overlaps(names: Sequence[str], data: Path | None, report: Report) -> list[dict[str, str]]:
    known = map(find_known, names)
    sets: list[tuple[str, Sequence[SetImage]]] = [(one.name, one.load(data, one.entry.channels)) for one in known]
    return [
        {
            "set": o.first_set,
            "image": o.first,
            "state": "overlaps",
            "what": f"{o.second_set}/{o.second}: {o.share:.0%} of it, rows {o.box[0]}..{o.box[0] + o.box[2] - 1}, "
            f"columns {o.box[1]}..{o.box[1] + o.box[3] - 1}" + ("" if o.scale == 1 else f", at scale {o.scale:g}"),
        }
        for o in near_duplicates(sets, lambda done, total: report(done, total, "pairs of images"))
    ]


def prepared(name: str, source: Path, data: Path, report: Report) -> Pack:
    """Selects, checks and packs the images of a large set; goes on where it was interrupted."""
    if name not in PREPARED:
        raise unknown("set to prepare", name, PREPARED)
    place = find_known(name).place(data)
    return PREPARED[name](source, place, lambda done, total: report(done, total, name))
