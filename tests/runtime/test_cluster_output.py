"""What node processes write, passed on under their names."""

from __future__ import annotations

import asyncio
import io
import json
import os

import pytest

from callboard.runtime.cluster.output import LONGEST, NamedOutput, named
from callboard.runtime.logs import LogFormat


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"event": "ready", "pid": 7}', {"node": "node-1", "event": "ready", "pid": 7}),
        ("plain words", {"node": "node-1", "event": "plain words"}),
        ('said "so"\t', {"node": "node-1", "event": 'said "so"\t'}),
        ("{not an object}", {"node": "node-1", "event": "{not an object}"}),
        ('{"cut": ', {"node": "node-1", "event": '{"cut": '}),
        ('{"a": 1} {"b": 2}', {"node": "node-1", "event": '{"a": 1} {"b": 2}'}),
        ("{}", {"node": "node-1", "event": "{}"}),
        ("", {"node": "node-1", "event": ""}),
    ],
)
def test_among_json_lines_everything_stays_one_object(line: str, expected: dict[str, object]) -> None:
    assert json.loads(named(line, "node-1", LogFormat.JSON)) == expected


def test_for_people_the_name_stands_before_the_line() -> None:
    assert named("plain words", "node-1", LogFormat.CONSOLE) == "node-1 | plain words"


async def passed_on(*chunks: bytes, leaves_open: bool = False) -> tuple[list[str], str]:
    """The lines that came out, and the last one that is remembered."""
    read_end, write_end = os.pipe()
    to = io.StringIO()
    with os.fdopen(read_end, "rb") as pipe:
        output = NamedOutput(pipe, to, "n", LogFormat.CONSOLE)
        for chunk in chunks:
            left = chunk
            while left:
                left = left[os.write(write_end, left[:4096]) :]
                await asyncio.sleep(0)
        if not leaves_open:
            os.close(write_end)
        output.close()
        if leaves_open:
            os.close(write_end)
    return to.getvalue().splitlines(), output.last


async def test_lines_are_put_together_whatever_their_pieces() -> None:
    lines, last = await passed_on(b"one\ntw", b"o\n\nthr", b"ee")

    assert lines == ["n | one", "n | two", "n | ", "n | three"]
    assert last == "three"


async def test_a_line_without_end_is_cut() -> None:
    lines, _ = await passed_on(b"x" * (3 * LONGEST))

    assert len(lines) > 1
    assert sum(len(line) - len("n | ") for line in lines) == 3 * LONGEST


async def test_what_is_no_text_is_passed_on_all_the_same() -> None:
    lines, _ = await passed_on(b"\xff\xfe\n", "é\n".encode())

    assert lines == ["n | \ufffd\ufffd", "n | é"]


async def test_a_pipe_that_somebody_else_holds_open_is_let_go_of() -> None:
    lines, _ = await passed_on(b"said\n", leaves_open=True)

    assert lines == ["n | said"]
