"""What a page shows, as plain data: tables, scenes (images to flip between), plots and records."""

from typing import Any, Literal

from msgspec import Struct

Role = Literal["noisy", "clean", "output"]


class Panel(Struct, kw_only=True):
    """One image of a scene. A pixel's value is low + (high - low) q / qmax, where q has one byte or two."""

    name: str
    role: Role
    planes: list[bytes]  # PNG files of 8 bits, the high bytes first
    low: float
    high: float
    note: str = ""  # such as 31.00 dB
    key: str = ""  # of its record


class Scene(Struct, kw_only=True):
    """One part of one noisy image, and what every method makes of it."""

    id: str  # in addresses
    group: str  # such as its noise and test set
    image: str
    low: float  # the value that is shown black ...
    high: float  # ... and the one that is shown white; their difference is the peak of the local PSNR
    factor: float  # what values are multiplied by where they are written as numbers
    left: int  # of the part in the whole image [pixels]
    top: int
    width: int
    height: int
    panels: list[Panel]  # the noisy one first, the clean one last
    reasons: list[str] = []  # why this part was chosen
    absent: list[str] = []  # why methods are not there, and which
    noise: str = ""
    set: str = ""

    @property
    def bytes(self) -> int:
        """What it adds to a page."""
        return sum(4 * len(plane) // 3 for panel in self.panels for plane in panel.planes) + 400 * len(self.panels)


class Cell(Struct):
    """One cell of a table."""

    text: str
    sort: float | None = None  # a number's value
    keys: tuple[str, ...] = ()  # records that it opens
    mark: Literal["", "best", "second"] = ""
    hint: str = ""


class Column(Struct):
    """A table's column."""

    name: str
    number: bool = False


class Row(Struct):
    """A table's row, and what it can be filtered by."""

    cells: list[Cell]
    filters: dict[str, str] = {}
    first: bool = False  # begins another group
    measured: bool = True  # else it is hidden at first
    href: str = ""  # of its first cell, on a site


class Sheet(Struct):
    """A table with its caption and notes."""

    caption: str
    columns: list[Column]
    rows: list[Row]
    notes: list[str] = []
    title: str = ""


class Series(Struct):
    """What is drawn in one colour."""

    name: str
    number: int  # its colour and marker, everywhere the same
    points: list[tuple[float, float]]
    keys: list[str] = []  # of each point, or of all
    line: bool = False


class Plot(Struct):
    """A plot with two axes."""

    title: str
    caption: str
    x: str
    y: str
    series: list[Series]
    log: bool = False  # the horizontal axis
    diagonal: bool = False  # where both are equal; both axes then count ranks


class Paired(Struct):
    """The metric of every image for every method: two of them are compared on the page."""

    title: str
    caption: str
    y: str
    images: list[str]
    values: dict[str, list[float]]  # method -> one value for each image
    t: float  # the 97.5 % quantile of Student's t for so many images


class Page(Struct, kw_only=True):
    """Everything on a page."""

    title: str
    lead: list[str] = []  # sentences at the top
    reading: str = ""  # how tables are read
    sheets: list[Sheet] = []
    scenes: list[Scene] = []
    rule: list[str] = []  # how the scenes were chosen, and what was left out
    plots: list[Plot] = []
    paired: list[Paired] = []
    records: dict[str, dict[str, Any]] = {}
    sources: dict[str, str] = {}  # a method's file -> its text
    links: list[tuple[str, str]] = []  # of a site: text, address
