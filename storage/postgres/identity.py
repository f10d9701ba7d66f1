"""Which store this is: a row written when it was made, and the table that the row stands in.

A store that was dropped and made anew has another row; one that was restored from a dump has its old row in a new
table. Either way it may hold other jobs under the same ids and tokens, so nothing that was leased before is good there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import Corrupt

if TYPE_CHECKING:
    from .lane import Connection, Lane

FOUND = "SELECT tableoid::text || ':' || value FROM callboard.meta WHERE name = 'store_id'"
_STORE_ID = re.compile(r"[0-9]+:[0-9a-f-]{36}")
_MARK = "/*same store*/"
_SAME = (
    "AND EXISTS (SELECT FROM callboard.meta WHERE name = 'store_id' AND tableoid::text || ':' || value = '{store_id}')"
)


def bound_to(store_id: str, text: str) -> str:
    """A statement that takes effect where it is marked so in this store alone. Unmarked ones are as they were."""
    return text.replace(_MARK, _SAME.format(store_id=store_id))


async def read_store_id(lane: Lane) -> str:
    """Made of digits, letters, : and -. Raises `Corrupt` for a store that does not know its own."""
    server = lane.server

    async def read(connection: Connection) -> object:
        return await connection.fetchval(server.in_schema(FOUND))

    found = await lane.run(read, is_opening=True)
    if not isinstance(found, str) or _STORE_ID.fullmatch(found) is None:
        schema = server.options.schema
        raise Corrupt(
            f"{server.shown}: {schema}.meta lacks its row store_id: restore it from a backup, or DROP SCHEMA {schema}"
            " CASCADE to start anew"
        )
    return found
