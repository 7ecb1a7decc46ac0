"""What a running unit says of itself, in a file beside its claim: for `status`, and for runs of several processes."""

import os
import platform
import time
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from ..datasets import files
from ..datasets.documents import content, from_json
from ..datasets.errors import InputError
from .store import Store

SECONDS = 2.0  # between two notes


class Progress(Struct, frozen=True):
    """How far a unit is, and who works on it."""

    key: str
    title: str
    host: str
    process: int
    began: float  # [Unix seconds]
    noted: float  # [Unix seconds]
    since: float  # the fraction that was done when this process began
    fraction: float  # that is done
    text: str
    group: str = ""  # names the run that this process works for, where there are several
    deaths: int = 0  # of processes of this group that worked on it before

    @property
    def left(self) -> float | None:
        """Seconds to go at the pace so far; None before there is one."""
        done = self.fraction - self.since
        return (self.noted - self.began) * (1.0 - self.fraction) / done if done > 0.0 else None


class Notes:
    """Notes the progress of one unit, now and then; a note that cannot be written is not worth an error."""

    def __init__(self, store: Store, key: str, title: str, group: str = "") -> None:
        self._path = store.note(key)
        self._key, self._title, self._group = key, title, group
        left = _read(self._path) if group else None  # whoever wrote it died, as the claim is ours
        self.deaths = left.deaths + 1 if left and left.group == group else 0
        self._began, self._noted, self._since = time.time(), 0.0, -1.0
        self(0.0, "starting")

    def __call__(self, fraction: float, text: str) -> None:
        """So much of the unit is done."""
        now = time.time()
        if self._since < 0.0 and fraction > 0.0:
            self._began, self._since = now, fraction  # a resumed training begins in its middle
        if now - self._noted < SECONDS:
            return
        self._noted = now
        since = max(self._since, 0.0)
        note = Progress(
            self._key, self._title, platform.node(), os.getpid(), self._began, now, since, fraction, text, self._group,
            self.deaths,
        )  # fmt: skip
        with suppress(OSError):
            files.write(self._path, lambda temporary: temporary.write_bytes(msgspec.json.encode(note)))

    def end(self) -> None:
        """The unit is over, or left to another."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def running(store: Store, dead: bool = False) -> list[Progress]:
    """The units that are worked on now, here or on another machine; `dead`: also those whose process died."""
    found = []
    for path in sorted(store.inside("claims").glob("*.note")):
        note = _read(path)
        if note and note.key == path.stem and (dead or store.claimed(note.key)):
            found.append(note)
    return found


def _read(path: Path) -> Progress | None:
    try:
        return from_json(content(path), Progress)
    except (OSError, msgspec.DecodeError, InputError):  # its unit ended meanwhile; or something else's file
        return None
