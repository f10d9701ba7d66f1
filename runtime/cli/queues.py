"""`callboard queues list`, `pause` and `resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from . import operate
from .options import WAIT, JsonOption, StoreOption, WaitOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...storage.records import QueueRow

queues_app = typer.Typer(help="Look at queues, and switch them.", no_args_is_help=True, rich_markup_mode=None)

QueuesArgument: TypeAlias = Annotated[list[str], typer.Argument(metavar="QUEUE...", show_default=False)]


@queues_app.command("list")
def list_queues(store: StoreOption = None, wait: WaitOption = WAIT, as_json: JsonOption = False) -> None:
    """List queues with their jobs by state."""
    from .describe import queue_object, queue_table
    from .output import print_json, print_table, remark

    rows, now_ms = operate.run(_rows(operate.place(store, wait)))
    if as_json:
        print_json({"queues": [queue_object(row) for row in rows]})
    elif rows:
        print_table(*queue_table(rows, now_ms))
    else:
        remark("no queues yet: one is there once a job was enqueued to it")


async def _rows(place: operate.Place) -> tuple[Sequence[QueueRow], int]:
    async with operate.opened(place) as store:
        return await store.queues.list(), operate.now_ms(store)


@queues_app.command("pause")
def pause_queues(
    queues: QueuesArgument, store: StoreOption = None, wait: WaitOption = WAIT, as_json: JsonOption = False
) -> None:
    """Claim nothing more from queues, on all nodes. Jobs that run go on."""
    _switch(queues, operate.place(store, wait), as_json, is_paused=True)


@queues_app.command("resume")
def resume_queues(
    queues: QueuesArgument, store: StoreOption = None, wait: WaitOption = WAIT, as_json: JsonOption = False
) -> None:
    """Let queues go on."""
    _switch(queues, operate.place(store, wait), as_json, is_paused=False)


def _switch(names: list[str], place: operate.Place, as_json: bool, *, is_paused: bool) -> None:
    from ...actors.names import validate_queue
    from .output import print_json, remark

    for name in names:
        validate_queue(name)
    unknown = operate.run(_write(place, names, is_paused=is_paused))
    word = "paused" if is_paused else "resumed"
    if as_json:
        print_json({word: names})
        return
    for name in names:
        remark(f"{name}: {word}" + ("; no job was enqueued to it so far" if name in unknown else ""))


async def _write(place: operate.Place, names: list[str], *, is_paused: bool) -> set[str]:
    """Switch the queues, and tell nodes; the names that were unknown, which may be mistyped."""
    from ...storage.records import Wakeup

    async with operate.opened(place) as store:
        known = {row.name for row in await store.queues.list()}
        if is_paused:
            await store.queues.pause(names)
        else:
            await store.queues.resume(names)
        await store.wakeups.announce([Wakeup("control" if is_paused else "work", name) for name in names])
    return set(names) - known
