"""Control messages in memory."""

from __future__ import annotations

from collections.abc import Sequence

from ..control import Control, ControlAnswer
from ..ports.controls import ControlStore
from .board import Board


class MemoryControls(ControlStore):
    """The port of control messages over a board."""

    def __init__(self, board: Board) -> None:
        self._board = board

    async def send(self, controls: Sequence[Control]) -> None:
        with self._board.lock:
            for control in controls:
                self._board.controls.setdefault(control.id, (control, None))

    async def take(self, boot_id: bytes, *, limit: int) -> list[Control]:
        with self._board.lock:
            waiting = [control for control, answer in self._board.controls.values() if answer is None]
        mine = [control for control in waiting if control.boot_id == boot_id]
        return sorted(mine, key=lambda control: (control.asked_at, control.id))[: max(limit, 0)]

    async def answer(self, answers: Sequence[ControlAnswer]) -> None:
        controls = self._board.controls
        with self._board.lock:
            for answer in answers:
                control, earlier = controls.get(answer.id, (None, None))
                if control is not None and earlier is None:
                    controls[answer.id] = (control, answer)

    async def answers(self, ids: Sequence[bytes]) -> list[ControlAnswer | None]:
        with self._board.lock:
            return [self._board.controls.get(id, (None, None))[1] for id in ids]

    async def prune(self, *, asked_before: int) -> int:
        controls = self._board.controls
        with self._board.lock:
            old = [id for id, (control, _) in controls.items() if control.asked_at < asked_before]
            for id in old:
                del controls[id]
        return len(old)
