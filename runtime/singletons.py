"""Singletons as programs declare and reach them, and the term that one acts in."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from ..actors.names import validate_name
from ..actors.node import NodeParts
from ..kernel.child import ChildSpec
from ..kernel.errors import CallboardError
from ..kernel.scene import acting
from ..kernel.supervisor import Supervisor
from ..storage.errors import TermOver
from ..storage.role import Term
from .job import InvalidOption


class UnknownActor(CallboardError, LookupError):
    """No singleton of that name was declared."""

    def __init__(self, name: str, known: Mapping[str, ChildSpec]) -> None:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        names = ", ".join(sorted(known)) or "none, runtime.singleton(ChildSpec(...)) declares one"
        super().__init__(f"no singleton {name!r:.80}: {hint}known: {names}")


class NotASingleton(CallboardError, RuntimeError):
    """There is no term here: what asked for one is no singleton's code."""

    def __init__(self) -> None:
        super().__init__("term: expected to be called by a singleton actor, or by a task that one has started")


def checked(spec: object, known: Mapping[str, ChildSpec]) -> ChildSpec:
    """A spec that may be a singleton's. Raises `InvalidOption`, and `InvalidName` for what is no name."""
    if not isinstance(spec, ChildSpec):
        raise InvalidOption(f"singleton: expected ChildSpec(Actor, id=...), found {spec!r:.80}")
    validate_name(spec.id)
    if spec.id in known:
        raise InvalidOption(f"singleton {spec.id!r}: there is one of that name already; give one of them another id=")
    if isinstance(spec.factory, type) and issubclass(spec.factory, Supervisor):
        raise InvalidOption(f"singleton {spec.id!r}: expected an actor, which takes messages; found a supervisor")
    if spec.restart != "permanent":
        raise InvalidOption(
            f"singleton {spec.id!r}: expected restart='permanent', found {spec.restart!r}: one that ends is started"
            " again, here or on another node"
        )
    return spec


def term_here(node: NodeParts) -> Term:
    """The term in which the calling actor runs. Raises `NotASingleton`, and `TermOver` once it may be over."""
    actor = acting.get()
    match actor.path.split("/") if actor is not None else []:
        case ["roles", role, term, *_]:
            number = int(term.removeprefix("term-"))
            seat = node.seats.get(role)
            if seat is None or seat.tenure is None or seat.tenure.term.number != number:
                raise TermOver(Term(role, node.boot_id, number))
            return seat.tenure.fence()
    raise NotASingleton
