"""Actors and messages that several kernel tests use."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from callboard.kernel.actor import Actor
from callboard.kernel.exits import Exit


@dataclass(frozen=True, slots=True)
class Boom:
    """Crash with `ValueError(text)`."""

    text: str = "boom"


@dataclass(frozen=True, slots=True)
class Get:
    """Answer with what was received so far."""


@dataclass(frozen=True, slots=True)
class Finish:
    """End with the exit `Normal`."""


@dataclass(frozen=True, slots=True, eq=False)
class Hold:
    """Wait in the handler until released; tells when it has been begun."""

    begun: asyncio.Event
    release: asyncio.Event

    @classmethod
    def new(cls) -> Hold:
        return cls(asyncio.Event(), asyncio.Event())


class Keeper(Actor):
    """Keeps what it receives, and answers an ask with the message."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    async def receive(self, message: object) -> object:
        match message:
            case Boom(text):
                raise ValueError(text)
            case Get():
                return list(self.seen)
            case Finish():
                self.context.stop()
            case Hold():
                message.begun.set()
                await message.release.wait()
            case _:
                self.seen.append(message)
        return message


class Diary:
    """Lines that actors of a test write, in the order of the events."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        self.lines.append(line)

    def take(self) -> list[str]:
        taken, self.lines = self.lines, []
        return taken


class Chronicler(Keeper):
    """Writes its starts and ends into a diary."""

    def __init__(self, diary: Diary, name: str) -> None:
        super().__init__()
        self.diary = diary
        self.name = name

    async def started(self) -> None:
        self.diary.write(f"start {self.name}")

    async def stopping(self, exit: Exit) -> None:
        self.diary.write(f"stop {self.name}: {type(exit).__name__}")


class Stubborn(Actor):
    """Swallows every cancellation until `release` is set."""

    def __init__(self, release: asyncio.Event, begun: asyncio.Event) -> None:
        self.release = release
        self.begun = begun

    async def receive(self, message: object) -> object:
        self.begun.set()
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                continue
        return None
