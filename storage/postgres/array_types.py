"""What the client needs to know of the arrays that statements take, said to it before it asks the server.

It would ask on each connection anew, by a query over the catalogue that takes the server 8 ms: most of what it costs to
open a connection and prepare its first statement. These types have had the same numbers in every server since they were
introduced (PostgreSQL's `pg_type.dat`), and so have their elements.

There is no public way to say it. A client that has no such method any more asks the server, as for any other type.
"""

from __future__ import annotations

from typing import Any

_ARRAYS = {  # number of the array: name, number of its element
    1001: ("_bytea", 17),
    1005: ("_int2", 21),
    1007: ("_int4", 23),
    1009: ("_text", 25),
    1016: ("_int8", 20),
    2951: ("_uuid", 2950),
}
_OF_NO_ARRAY = dict.fromkeys(
    ("basetype", "basetype_name", "elemtype_name", "range_subtype", "range_subtype_name", "attrtypoids", "attrnames")
)
_DESCRIBED = [
    {
        "oid": number,
        "ns": "pg_catalog",
        "name": name,
        "kind": b"b",
        "elemtype": element,
        "elemdelim": b",",
        "depth": 0,
        **_OF_NO_ARRAY,
    }
    for number, (name, element) in _ARRAYS.items()
]


def tell_of_arrays(connection: Any) -> None:
    """Once the codecs of the elements are set: an array takes that which its element has then."""
    settings = getattr(getattr(connection, "_protocol", None), "get_settings", lambda: None)()
    register = getattr(settings, "register_data_types", None)
    if register is not None:
        register(_DESCRIBED)
