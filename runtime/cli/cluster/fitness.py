"""Whether nodes of a program could start: it imports, its store opens and can be shared, its link answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import operate
from ..failures import WrongUse

if TYPE_CHECKING:
    from ...runtime import Runtime


def examine(
    target: str, store: str | None, wait_s: float, config: str | None, grace: str | None, *, as_json: bool
) -> None:
    """Say which store it is and what grace a drain has. Raises `WrongUse`, and whatever a node would refuse."""
    from ....storage.shown import without_password
    from ..output import print_json, remark
    from ..run import load_program

    runtime = load_program(target, store, config, grace)
    shown = without_password(runtime.store_url)
    operate.run(_open(runtime, operate.Place(runtime.store_url, wait_s)))
    if as_json:
        print_json({"ok": True, "store": shown, "grace_s": runtime.settings.grace_s, "jobs": len(runtime.jobs)})
    else:
        remark(f"{target} can be run on {shown}")


async def _open(runtime: Runtime, place: operate.Place) -> None:
    """As each node does, store and link, and close again. An empty file becomes a store, once for all nodes."""
    from ....storage.errors import MigrationNeeded, Unavailable
    from ...patience import patiently

    store = operate.store_at(place)
    if not store.is_shared:
        raise WrongUse(
            f"{place.shown} is seen by one process alone, so the nodes would share nothing; give them a store by "
            "--store or CALLBOARD_STORE, such as sqlite:///callboard.db"
        )
    try:
        await operate.open_patiently(store, place, migrate=runtime.migrate or store.is_embedded)
    except MigrationNeeded as exc:
        raise WrongUse(str(exc)) from None
    await store.close()
    if runtime.link_url is None:
        return
    try:
        await patiently(runtime.__aenter__, wait_s=place.wait_s, tell=operate.tell)
    except Unavailable as exc:
        # The store has answered, so it is the link: a node would wait for it again and again, at every start.
        raise WrongUse(str(exc)) from None
    await runtime.__aexit__(None, None, None)
