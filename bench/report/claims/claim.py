"""Claimed numbers as a reviewer types them from a paper: one line of a CSV file for each."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from ...datasets.documents import content
from ...datasets.errors import InputError, printable, unknown
from ...datasets.noise.model import Noise, parse
from ...datasets.sets.catalogue import catalogue
from .names import identify

REQUIRED = ("method", "set", "noise", "psnr", "ssim")
OPTIONAL = ("output", "network", "knowledge", "ensemble", "images", "colour", "data_range", "window", "spread")
CARRIED = ("provenance", "suite", "label", "level", "source", "remark")  # of our files of printed numbers
ALLOWED = {
    "knowledge": ("", "blind", "family", "level"),
    "colour": ("", "rgb", "gray", "luma"),
    "window": ("", "gauss11", "uniform7"),
}
MOST = 2_000  # lines
ALIASES = {"kodak24": "kodak", "bsds300": "bsd300", "cbsd300": "bsd300", "urban": "urban100"}


class Claim(Struct, frozen=True, kw_only=True):
    """One claimed number, PSNR in dB."""

    line: int  # of the file
    label: str  # the method as it is written there
    method: str  # its name here, or the label
    output: str  # "" where it is not said
    set: str
    noise: str
    psnr: float
    ssim: float | None
    decimals: int  # of the PSNR
    network: str
    knowledge: str  # blind, family, level, or "" where it is not said
    ensemble: str  # as it is written; "" where it is not said
    images: int | None
    colour: str  # rgb, gray, luma, or ""
    data_range: float | None
    window: str  # of SSIM; "" where it is not said
    spread: float | None  # standard deviation over seeds [dB]

    @property
    def row(self) -> tuple[str, str]:
        """Method and output."""
        return self.method, self.output

    @property
    def group(self) -> tuple[str, str]:
        """Noise and set."""
        return self.noise, self.set

    @property
    def cell(self) -> str:
        """Method, noise and set in words."""
        return f"{self.label}, {self.noise}, {self.set}"

    @property
    def shown(self) -> str:
        """The numbers, such as `31.00/0.850`."""
        return f"{self.psnr:.2f}" + ("" if self.ssim is None else f"/{self.ssim:.3f}")


def noise_of(claim: Claim) -> Noise:
    """The noise of a claim."""
    return parse(claim.noise)


def by_method(claims: Sequence[Claim]) -> list[list[Claim]]:
    """The claims of each method and output."""
    groups: dict[tuple[str, str], list[Claim]] = {}
    for claim in claims:
        groups.setdefault(claim.row, []).append(claim)
    return list(groups.values())


def read(path: Path) -> list[Claim]:
    """The claims of a file; InputError that names the line for anything that is none."""
    try:
        text = content(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text in UTF-8; expected a CSV file with the columns {_columns()}") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", restval=None)
    try:
        claims = list(_claims(reader, path))
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not CSV ({error})") from None
    if not claims:
        raise InputError(f"{path}: no numbers in it; expected a line for each, with the columns {_columns()}")
    return claims


def _claims(reader: "csv.DictReader[str]", path: Path) -> Iterator[Claim]:
    _check_columns(path, list(reader.fieldnames or []))
    for number, row in enumerate(reader):
        if None in row.values() or "" in row:
            raise InputError(f"{path}, line {reader.line_num}: expected {len(reader.fieldnames or [])} cells")
        if number == MOST:
            raise InputError(f"{path}: more than {MOST:,} claims; expected the numbers of one paper")
        cells = {name.strip(): printable(value.strip()) for name, value in row.items()}
        if cells["psnr"] not in ("", "-"):  # a cell without a number is printed as - / -
            yield _claim(cells, reader.line_num, f"{path}, line {reader.line_num}")


def _columns() -> str:
    return f"{', '.join(REQUIRED)} (optional: {', '.join(OPTIONAL)})"


def _check_columns(path: Path, names: list[str]) -> None:
    names = [name.strip() for name in names]
    if missing := [name for name in REQUIRED if name not in names]:
        raise InputError(f"{path}: no column {', '.join(missing)}; expected the columns {_columns()}")
    for name in names:
        if name not in (*REQUIRED, *OPTIONAL, *CARRIED):
            raise unknown(f"column of {path}", name, (*REQUIRED, *OPTIONAL))
    if len(set(names)) != len(names):
        raise InputError(f"{path}: a column appears twice; expected the columns {_columns()}")


def _claim(cells: Mapping[str, str], line: int, where: str) -> Claim:
    label, test = cells["method"], cells["set"].lower()
    if not label or not test:
        raise InputError(f"{where}: a number without its method or set")
    for name, allowed in ALLOWED.items():
        if cells.get(name, "") not in allowed:
            raise unknown(f"{name} ({where})", cells[name], filter(None, allowed))
    try:
        noise = parse(cells["noise"]).name
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    method, output = identify(label, cells.get("output", ""))
    images = _number(cells.get("images", ""), "images", where, 1, 1e6)
    psnr = _number(cells["psnr"], "psnr", where, -100, 200)
    assert psnr is not None  # empty cells were left out
    return Claim(
        line=line, label=cells.get("label") or label, method=method, output=output, set=ALIASES.get(test, test),
        noise=noise, psnr=psnr, ssim=_number(cells["ssim"], "ssim", where, -1, 1),
        decimals=len(cells["psnr"].partition(".")[2]), network=cells.get("network", ""),
        knowledge=cells.get("knowledge", ""), ensemble=cells.get("ensemble", ""),
        images=None if images is None else int(images), colour=cells.get("colour", ""),
        data_range=_number(cells.get("data_range", ""), "data_range", where, 0, 1e6), window=cells.get("window", ""),
        spread=_number(cells.get("spread", ""), "spread", where, 0, 100),
    )  # fmt: skip


def _number(text: str, name: str, where: str, low: float, high: float) -> float | None:
    """A number in a range; None for an empty cell."""
    if text in ("", "-"):
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise InputError(f"{where}: {name} {text!r}; expected a number from {low:g} to {high:g}, such as 32.27")
    return value


def nearest_set(name: str) -> str:
    """A known set whose name is written almost so, else ""."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, catalogue(), 1, 0.7)), "")
