"""`callboard cluster status`: nodes, roles and queues, read from the store alone; `--watch` keeps them in view."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from .. import operate
from ..failures import WrongUse
from ..options import WAIT, JsonOption, StoreOption, WaitOption, read_seconds

if TYPE_CHECKING:
    from rich.console import RenderableType

    from .view import Table, View


def status(
    store: StoreOption = None,
    wait: WaitOption = WAIT,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on looking, until Ctrl-C.")] = False,
    every: Annotated[str, typer.Option("--every", metavar="SECONDS", help="How often --watch looks.")] = "1",
    as_json: JsonOption = False,
) -> None:
    """Show nodes, holders of roles, and queues."""
    from ..output import print_json
    from .view import as_object

    every_s = read_seconds(every, "--every")
    if watch and as_json:
        raise WrongUse("--watch: is for people; leave out --json, or call `cluster status --json` again and again")
    if not 0.05 <= every_s <= 3600:
        raise WrongUse(f"--every: expected 0.05 s to an hour, found {every!r}")
    place = operate.place(store, wait)
    if watch:
        operate.run(_keep_looking(place, every_s))
    elif as_json:
        print_json(as_object(operate.run(_look(place))))
    else:
        _print(operate.run(_look(place)))


async def _look(place: operate.Place) -> View:
    from ...settings import load_settings
    from .view import look

    async with operate.opened(place) as store:
        return await look(store, load_settings().lease_s)


def _print(view: View) -> None:
    from ..output import print_table, remark
    from .view import summary, tables

    for _, columns, rows in _filled(tables(view)):
        print_table(columns, rows)
        print()
    remark(summary(view))


async def _keep_looking(place: operate.Place, every_s: float) -> None:
    """Show what is there, again and again until a signal. An outage of the store is shown, and waited over."""
    import asyncio

    from rich.console import Console
    from rich.live import Live

    from ....kernel.clock import SystemClock
    from ....kernel.signals import handle_signals
    from ....storage.errors import Unavailable
    from ...settings import load_settings
    from .view import look

    clock = SystemClock()
    lease_s = load_settings().lease_s
    console = Console(highlight=False)
    over = asyncio.Event()
    async with operate.opened(place) as store:
        with (
            Live(console=console, screen=True, auto_refresh=False) if console.is_terminal else nullcontext() as live,
            handle_signals(drain=over.set, interrupt=over.set),
        ):
            while not over.is_set():
                try:
                    shown = _rendered(await look(store, lease_s))
                except Unavailable as error:
                    shown = _trouble(f"{place.shown}: {error}; looking again")
                if live is not None:
                    live.update(shown, refresh=True)
                else:
                    console.print(shown, "")
                with suppress(TimeoutError):
                    await clock.limit(over.wait(), every_s)


def _rendered(view: View) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from ..output import table_of
    from .view import summary, tables

    parts: list[RenderableType] = [Text(summary(view), style="bold")]
    for _, columns, rows in _filled(tables(view)):
        parts += [Text(), table_of(columns, rows)]
    return Group(*parts)


def _trouble(said: str) -> RenderableType:
    from rich.text import Text

    from ..failures import one_line

    return Text(one_line(said), style="red")


def _filled(all_tables: Iterable[Table]) -> Sequence[Table]:
    """Those with rows; an empty one would be a header alone."""
    return [(name, columns, rows) for name, columns, rows in all_tables if rows]
