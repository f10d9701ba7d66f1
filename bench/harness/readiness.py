"""How many nodes of a cluster were ready, looked at all the while by their own ready files."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

LOOK_S = 0.005


class Readiness:
    """Looks within the block, in a thread of its own. No node may be killed meanwhile: its file would stay."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="readiness")
        self.fewest = 1_000_000
        self.looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(LOOK_S):
            self.fewest = min(self.fewest, len(os.listdir(self._folder)))
            self.looks += 1
