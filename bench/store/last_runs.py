"""What was asked for last on a store: tables show it when nothing else is asked, from the records alone."""

from collections.abc import Callable

from filelock import FileLock
from msgspec import Struct

from ..datasets.documents import content, from_json
from ..datasets.sets.digests import SetDigests
from ..protocol.plan import Plan
from ..protocol.request import Request
from .folder import Folder, encoded
from .record import UnreadableError, believing


class Last(Struct, omit_defaults=True):
    """The last run of every suite on a store."""

    folders: dict[str, str] = {}  # digests of the folders of images that it knew
    requests: dict[str, Request] = {}

    def __or__(self, newer: "Last") -> "Last":
        """Both; what both have is the newer one's."""
        return Last(self.folders | newer.folders, self.requests | newer.requests)

    @property
    def digests(self) -> SetDigests:
        """Digests of image sets, of folders that are gone as the last runs knew them."""
        return SetDigests(self.folders)


class LastRuns:
    """The file last.json of a store."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def read(self) -> Last:
        """What was asked for last; UnreadableError if the file is damaged."""
        path = self._folder.inside("last.json")
        try:
            with believing(path):
                return from_json(content(path), Last)
        except FileNotFoundError:
            return Last()

    def known(self) -> Last:
        """What was asked for last; nothing if the file is damaged, which `Store.look` names."""
        try:
            return self.read()
        except UnreadableError:
            return Last()

    def add(self, plan: Plan) -> None:
        """What is asked for now."""
        now = Last(plan.digests.folders, {plan.request.suite: plan.request})
        self._change(lambda last: last | now)

    def adopt(self, other: Last) -> None:
        """What another store was asked for, where this one was not."""
        self._change(lambda last: other | last)

    def _change(self, change: Callable[[Last], Last]) -> None:
        with self._folder.writing(), FileLock(self._folder.inside("claims", "last.lock")):  # other runs note theirs
            try:
                last = self.read()
            except UnreadableError as error:
                if error.state.kind == "unreadable":
                    raise
                self._folder.set_aside(error.path)
                last = Last()
            self._folder.write_file(self._folder.inside("last.json"), encoded(change(last)) + b"\n")
