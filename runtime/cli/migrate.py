"""`callboard migrate`: bring a store's schema up to date, once for all nodes; with --check only say whether it is.

A SQLite file is brought up to date by whoever opens it, so there it is never needed. On a server nobody else does it:
it may need rights that nodes do not have, and older nodes may still be at work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import operate
from .options import WAIT, JsonOption, StoreOption, WaitOption

if TYPE_CHECKING:
    from ...storage.errors import MigrationNeeded
    from ...storage.ports.store import Store


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 if a migration is needed.")
    ] = False,
    store: StoreOption = None,
    wait: WaitOption = WAIT,
    as_json: JsonOption = False,
) -> None:
    """Bring the store's schema up to date, an empty store included."""
    from .failures import CommandFailed
    from .output import print_json, remark

    place = operate.place(store, wait)
    needed = operate.run(_migrate(place, is_check=check))
    if as_json:
        found = None if needed is None else needed.found
        print_json(
            {"store": place.shown, "needed": needed is not None, "migrated": bool(needed) and not check, "found": found}
        )
    if needed is None:
        said = f"{place.shown} is up to date"
    elif check:
        raise CommandFailed(str(needed))
    else:
        before = f"schema {needed.found}" if needed.found else "no schema"
        said = f"{place.shown} had {before}, and is up to date now"
    if not as_json:
        remark(said)


async def _migrate(place: operate.Place, *, is_check: bool) -> MigrationNeeded | None:
    """What was needed. Raises `SchemaTooNew`, and what opening a store raises."""
    from ...storage.errors import MigrationNeeded, SchemaTooNew

    store = operate.store_at(place)
    try:
        await operate.open_patiently(store, place, migrate=False)
    except SchemaTooNew:
        raise
    except MigrationNeeded as needed:
        if not is_check:
            await _open_and_close(store)
        return needed
    await store.close()
    return None


async def _open_and_close(store: Store) -> None:
    await store.open(migrate=True)
    await store.close()
