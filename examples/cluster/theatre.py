"""A theatre's box office: jobs that sell tickets, on any node, and one clerk for the whole house.

    callboard cluster up theatre:runtime --nodes 4

The clerk is a singleton: it lives on exactly one node at a time. Every fifth of a second it has the house counted, by a
job that is fenced by the term in which it lives: should it be cut off and forgotten, what it still orders is refused.
"""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from callboard import Actor, ChildSpec, Ctx, Query, Runtime, Settings

EVERY_S = 0.2
NOTES = Path(os.environ.get("THEATRE_NOTES", "notes.txt"))

# Short leases, so that what a killed node had is soon taken over; and it is we who kill, not the jobs.
runtime = Runtime(settings=Settings(lease="2s", leader_lease="2s", max_crashes=1000))


@dataclass(frozen=True)
class Count:
    """Time to count the house."""


@dataclass(frozen=True)
class Counts(Query[int]):
    """Answered with how many counts this clerk has ordered since it began."""


class Clerk(Actor):
    """Orders counts of the house."""

    async def started(self) -> None:
        self.ordered = 0
        self.context.send_after(EVERY_S, Count())

    async def receive(self, message: object) -> object:
        if isinstance(message, Counts):
            return self.ordered
        term = runtime.term()
        await count_the_house.options(fence=term).enqueue(term.number, self.ordered)
        self.ordered += 1
        self.context.send_after(EVERY_S, Count())
        return None


runtime.singleton(ChildSpec(Clerk, id="clerk"))


def note(line: str) -> None:
    """One line in the book: a single write, which is whole whoever else writes and whoever is killed."""
    book = os.open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(book, f"{line}\n".encode())
    finally:
        os.close(book)


@runtime.job
async def sell(ctx: Ctx, seat: int) -> int:
    await asyncio.sleep(0.05)
    note(f"sold {seat} {os.getpid()}")
    return seat


@runtime.job
async def count_the_house(term: int, number: int) -> None:
    note(f"count {term} {number}")
