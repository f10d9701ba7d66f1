"""What a node process writes, passed on line by line with the node's name."""

from __future__ import annotations

import asyncio
import json
import os
from typing import IO, TextIO

from ..logs import LogFormat

LONGEST = 64 * 1024  # bytes that are held back for the end of their line; a longer one is cut
_READ = 64 * 1024


class NamedOutput:
    """One pipe of a process. Made, read and closed on the running event loop."""

    def __init__(self, pipe: IO[bytes], to: TextIO, name: str, log_format: LogFormat) -> None:
        self.last = ""  # line that was written, for a person
        self._pipe = pipe
        self._to = to
        self._name = name
        self._format = log_format
        self._rest = b""
        os.set_blocking(pipe.fileno(), False)
        asyncio.get_running_loop().add_reader(pipe.fileno(), self._read)

    def close(self) -> None:
        """Pass on what is there, and no more: what the process started may hold its end open for ever."""
        if self._pipe.closed:
            return
        while self._read():
            pass
        if not self._pipe.closed:
            self._end()

    def _read(self) -> bool:
        """Whether there was anything."""
        if self._pipe.closed:
            return False
        try:
            chunk = os.read(self._pipe.fileno(), _READ)
        except BlockingIOError:
            return False
        if not chunk:
            self._end()
            return False
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > LONGEST:
            lines.append(self._rest)
            self._rest = b""
        self._pass_on(lines)
        return True

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        self._pipe.close()
        if self._rest:
            self._pass_on([self._rest])
            self._rest = b""

    def _pass_on(self, lines: list[bytes]) -> None:
        if not lines:
            return
        texts = [line.decode("utf-8", "replace").rstrip("\r") for line in lines]
        self.last = next((text for text in reversed(texts) if text.strip()), self.last)
        try:
            self._to.write("".join(named(text, self._name, self._format) + "\n" for text in texts))
            self._to.flush()
        except (BrokenPipeError, ValueError):
            return  # whoever read our lines has left: no reason for a node to end


def named(line: str, name: str, log_format: LogFormat) -> str:
    """`line` as it is passed on. Among JSON lines it stays one object, whatever it was."""
    if log_format is LogFormat.CONSOLE:
        return f"{name} | {line}"
    label = f'{{"node": {json.dumps(name)}, '
    if line.startswith('{"') and _is_object(line):
        return label + line[1:]
    return f'{label}"event": {json.dumps(line, ensure_ascii=False)}}}'


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
