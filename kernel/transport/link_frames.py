"""What stands in one entry of a link's stream: many messages, or many answers. Pure.

    entry   msgpack: [version, [frame, ...]]
    frame   a tell: [path, body] · an ask: [path, body, number, milliseconds left, [who waits, ...]]
            an answer: [number, kind, content]

`path` leads below the endpoint, `body` is a message of `message_codec.py`. `number` is the asker's own.
"""

from __future__ import annotations

from typing import Any

import msgpack

from ..codec import NotStorable, Undecodable
from ..envelope import Failure
from ..errors import (
    ActorCrashed,
    ActorStopped,
    AskTimeout,
    CallboardError,
    MailboxFull,
    RemoteError,
    describe,
)
from .message_codec import pack_message, unpack_message

VERSION = 1
ANSWER, STOPPED, FULL, LATE, CRASHED, REFUSED, CYCLE = range(7)


class Elsewhere(str):
    """The path of an actor on another node, `path@node`: never one of this node's, however it is spelled."""

    __slots__ = ()


Frame = list[Any] | tuple[Any, ...]


def with_node(chain: tuple[str, ...], node: str) -> tuple[str, ...]:
    """The paths of those who wait, as other nodes know them."""
    return tuple([path if isinstance(path, Elsewhere) else f"{path}@{node}" for path in chain])


def here_and_elsewhere(chain: list[Any], node: str) -> tuple[str, ...]:
    """The paths of those who wait, as this node knows them."""
    own = f"@{node}"
    return tuple([path.removesuffix(own) if path.endswith(own) else Elsewhere(path) for path in chain])


def pack_frames(frames: list[Frame]) -> bytes:
    """One entry's content."""
    packed: bytes = msgpack.packb((VERSION, frames))
    return packed


def unpack_frames(data: bytes) -> list[list[Any]]:
    """The frames of an entry, each a list. Raises `Undecodable`, and nothing else."""
    try:
        version, frames = msgpack.unpackb(data)
    except Exception as error:  # whatever it is, they are not bytes of ours
        raise Undecodable(f"{len(data)} bytes that are no entry of a link ({type(error).__name__})") from None
    if version != VERSION or type(frames) is not list or not all(type(frame) is list for frame in frames):
        raise Undecodable(f"{len(data)} bytes that are no entry of this version of the link")
    return frames


def is_message(frame: list[Any]) -> bool:
    """Whether a frame is a tell or an ask as they should be."""
    if len(frame) == 2:
        return type(frame[0]) is str and type(frame[1]) is bytes
    return (
        len(frame) == 5
        and type(frame[0]) is str
        and type(frame[1]) is bytes
        and type(frame[2]) is int
        and type(frame[3]) is int
        and type(frame[4]) is list
        and all(type(path) is str for path in frame[4])
    )


def pack_answer(number: int, answer: object) -> Frame:
    """The frame of an answer, or of why there is none."""
    if answer.__class__ is not Failure:
        try:
            return (number, ANSWER, pack_message(answer))
        except NotStorable as error:
            return (number, REFUSED, f"the answer cannot be sent to another node: {error}")
    assert isinstance(answer, Failure)
    match answer.error:
        case ActorStopped(reason=reason):
            return (number, STOPPED, reason)
        case MailboxFull(capacity=capacity):
            return (number, FULL, capacity)
        case AskTimeout(outcome=outcome):
            return (number, LATE, outcome)
        case ActorCrashed(__cause__=cause):
            return (number, CRASHED, None if cause is None else describe(cause))
        case refusal:
            return (number, REFUSED, describe(refusal))


def unpack_answer(frame: list[Any], path: str, timeout_s: float) -> object:
    """What the asker gets. Raises `Undecodable` for a frame that is none."""
    try:
        _, kind, content = frame
        if kind == ANSWER:
            return unpack_message(content)
        return Failure(_error(kind, content, path, timeout_s))
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise Undecodable(f"an answer that cannot be read: {error}") from None


def _error(kind: int, content: Any, path: str, timeout_s: float) -> CallboardError:
    if kind == STOPPED:
        return ActorStopped(path, str(content))
    if kind == FULL:
        return MailboxFull(path, int(content))
    if kind == LATE:
        return AskTimeout(path, timeout_s, "not_delivered" if content == "not_delivered" else "unknown")
    if kind == CRASHED:
        return ActorCrashed(path, None if content is None else RemoteError(str(content)))
    return RemoteError(str(content))
