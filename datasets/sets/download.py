"""One file over HTTP: resumed where it broke off, tried again, and kept only if it is the right one."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import requests
from msgspec import Struct

from ..errors import InputError, one_line

Check = Callable[[Path], None]  # raises InputError for a file that is not the right one
Report = Callable[[int, int, str], None]  # bytes so far, bytes in all (0: not known), name of the file
PASSING = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
PART = ".part-"  # begins the name of an unfinished file: it keeps its suffix, and is in no listing of images
BLOCK = 2**12  # bytes between two reports, and at most lost when a connection breaks


class Patience(Struct, frozen=True):
    """How long a server may take, and how often it is asked."""

    connect: float = 10.0  # seconds
    read: float = 30.0  # seconds without a byte
    tries: int = 4
    pause: float = 1.0  # seconds before the second try; doubled before each further one


class Unreachable(InputError):
    """A server that did not give the right file in any of the tries."""


def download(url: str, target: Path, check: Check, report: Report, patience: Patience) -> None:
    """Puts the file of an address at `target`, where none is yet, once `check` has passed it.

    A broken connection leaves .part-<name> beside it, and the next call goes on there. InputError if the server has no
    such file or `check` refuses it, Unreachable after the last try.
    """
    part = target.with_name(PART + target.name)
    _obtain(url, part, check, report, patience)
    os.replace(part, target)


def _obtain(url: str, part: Path, check: Check, report: Report, patience: Patience) -> None:
    reason = ""
    for attempt in range(patience.tries):
        time.sleep(patience.pause * 2 ** (attempt - 1) if attempt else 0)
        try:
            resumed = _transfer(url, part, report, patience)
        except PASSING as error:
            reason = _cause(error)
            continue
        except requests.RequestException as error:
            raise InputError(f"{url}: expected a file, found {one_line(error)}") from None
        try:
            return check(part)
        except InputError as error:
            part.unlink()
            if not resumed:
                raise type(error)(f"{url}: {error}") from None
            reason = str(error)  # its beginning may come from another file: once more from the start
    raise Unreachable(f"{url}: no whole file in {patience.tries} tries, the last one: {reason}")


def _cause(error: requests.RequestException) -> str:
    """The error within that of urllib3, which reports retries although none were asked for."""
    return one_line(getattr(next(iter(error.args), None), "reason", error))


def _transfer(url: str, part: Path, report: Report, patience: Patience) -> bool:
    """Appends what is missing of a file, or writes all of it; returns whether its beginning was there."""
    done = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with requests.get(url, headers=headers, stream=True, timeout=(patience.connect, patience.read)) as answer:
        if done and answer.status_code == requests.codes.requested_range_not_satisfiable:
            return True  # nothing comes after what is there: it is all, or of another file
        if answer.status_code >= 500 or answer.status_code in (408, 429):  # timed out, too many requests
            raise requests.ConnectionError(f"{answer.status_code} {answer.reason}")
        answer.raise_for_status()
        if answer.status_code != requests.codes.partial_content:
            done = 0  # a server without ranges sends all of it
        resumed, length = done > 0, answer.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else 0
        with part.open("ab" if resumed else "wb") as file:
            for block in answer.iter_content(BLOCK):
                file.write(block)
                done += len(block)
                report(done, total, part.name.removeprefix(PART))
    return resumed
