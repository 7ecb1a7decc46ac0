"""Ctrl-C and SIGTERM as a wish to stop at the next safe point."""

import signal
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any

USUAL = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """While it is entered, a signal is noted and the work goes on to the next step or image; a second one stops it."""

    def __init__(self, numbers: Sequence[signal.Signals] = USUAL) -> None:
        self.numbers = numbers
        self.received = 0  # the number of the signal
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.received != 0

    def __enter__(self) -> "StopSignals":
        for number in self.numbers:
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:  # not in the main thread: its owner handles signals
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            raise KeyboardInterrupt(number)
        self.received = number
