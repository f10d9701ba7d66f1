"""A handler's arguments and results <-> bytes. Everything about its signature is worked out once, on first use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..kernel.codec import (
    MAX_DEPTH,
    SCALARS,
    NotStorable,
    Packable,
    Undecodable,
    check_text,
    decode,
    encode,
    pack,
    pack_scalars,
    peek,
    plain,
)
from .call_errors import (
    MAX_PAYLOAD_BYTES,
    MAX_RESULT_BYTES,
    BadArguments,
    PayloadTooLarge,
    ResultNotStorable,
    ResultTooLarge,
)
from .flatten import flatten
from .plan import Plan, shown
from .shape import Misfit, Shape
from .signature import Signature

_CALL_DEPTH = MAX_DEPTH + 2  # the payload's own two lists around values of full depth
_NONE = b"\xc0"
_TEXT = frozenset({str})


class Calls:
    """Both ways for one handler. Safe to use from several threads."""

    __slots__ = ("_job", "_plan", "_signature")

    def __init__(self, job: str, signature: Signature) -> None:
        self._job = job
        self._signature = signature
        self._plan: Plan | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """What about the annotations cannot work, one line each."""
        return self._planned().problems

    def encode(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> bytes:
        """The payload of a call. Raises `BadArguments`, `NotStorable` or `PayloadTooLarge`."""
        plan = self._plan or self._planned()
        if plan.is_fast(args, kwargs):
            try:
                payload = pack_scalars((args, kwargs))
            except (UnicodeEncodeError, OverflowError):  # lone surrogates, long ints: the other way knows them
                payload = self._encode_slowly(plan, args, kwargs)
        else:
            payload = self._encode_slowly(plan, args, kwargs)
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise PayloadTooLarge(self._job, len(payload))
        return payload

    def decode(self, payload: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a payload, as the handler's annotations say. Raises `Undecodable`, also for a misfit."""
        plan = self._plan or self._planned()
        # Where every part turns out to be of a type that is wanted as it is, there is nothing left to be strict about.
        call = peek(payload, MAX_PAYLOAD_BYTES)
        if type(call) is list and len(call) == 2:
            args, kwargs = call
            if type(args) is list and type(kwargs) is dict and not kwargs and plan.is_fast(args, kwargs):
                return tuple(args), kwargs
        args, kwargs = read_call(payload)
        if plan.is_fast(args, kwargs):
            return tuple(args), kwargs
        try:
            self._bind(plan, args, kwargs)
            return (
                tuple([self._restore(plan, index, value) for index, value in enumerate(args)]),
                {name: self._restore(plan, name, value) for name, value in kwargs.items()},
            )
        except BadArguments as error:
            raise Undecodable(f"stored arguments that do not fit: {error}") from None

    def names(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, Any]:
        """The arguments by parameter name, those left to their defaults not among them. Raises `BadArguments`."""
        try:
            return self._signature.call.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise BadArguments(f"job {self._job!r} takes {shown(self._signature.call)}: {error}") from None

    def encode_result(self, value: object) -> bytes:
        """A result as bytes. Raises `ResultTooLarge` or `ResultNotStorable`.

        A value that can be stored but is not of the annotated type is stored all the same: the work has been done.
        """
        if value is None:
            return _NONE
        shape = (self._plan or self._planned()).result
        try:
            try:
                lowered = value if type(value) in shape.same else shape.lower(value)
            except Misfit:
                lowered = value
            stored = _pack_value(lowered)
        except NotStorable as error:
            raise ResultNotStorable(str(error.inside(f"job {self._job!r}, result"))) from None
        if len(stored) > MAX_RESULT_BYTES:
            raise ResultTooLarge(self._job, len(stored))
        return stored

    def decode_result(self, stored: bytes) -> Any:
        """The result as the handler's return annotation says; as stored where it does not fit. Raises `Undecodable`."""
        if stored == _NONE:
            return None
        value = decode(stored, max_bytes=MAX_RESULT_BYTES)
        try:
            return (self._plan or self._planned()).result.restore(value)
        except Misfit:
            return value

    # Steps

    def _encode_slowly(self, plan: Plan, args: tuple[object, ...], kwargs: Mapping[str, object]) -> bytes:
        self._bind(plan, args, kwargs)
        try:
            stored = [self._store(plan, index, value) for index, value in enumerate(args)]
            return pack([stored, {name: self._store(plan, name, value) for name, value in kwargs.items()}])
        except UnicodeEncodeError:
            for index, value in enumerate(args):
                self._check_text(plan, index, value)
            for name, value in kwargs.items():
                self._check_text(plan, name, value)
            raise

    def _store(self, plan: Plan, key: int | str, value: object) -> Packable:
        try:
            return plain(_lowered(plan.shape(key), value))
        except (Misfit, NotStorable) as error:
            raise self._named(plan, key, error) from None

    def _check_text(self, plan: Plan, key: int | str, value: object) -> None:
        try:
            check_text(key)
            check_text(_lowered(plan.shape(key), value))
        except NotStorable as error:
            raise self._named(plan, key, error) from None

    def _restore(self, plan: Plan, key: int | str, value: object) -> Any:
        try:
            return plan.shape(key).restore(value)
        except Misfit as misfit:
            raise self._named(plan, key, misfit) from None

    def _named(self, plan: Plan, key: int | str, error: Misfit | NotStorable) -> BadArguments | NotStorable:
        """What went wrong, with job and argument named."""
        where = f"job {self._job!r}, argument {plan.label(key)!r}"
        if isinstance(error, NotStorable):
            return error.inside(where)
        return BadArguments(f"{where}{error.where}: {error}")

    def _bind(self, plan: Plan, args: Any, kwargs: Mapping[str, object]) -> None:
        """Raises `BadArguments` unless the handler could be called so."""
        count = len(args)
        open_names = set(plan.names[count : plan.least]) | plan.required_by_name
        fits = (
            (plan.rest is not None or count <= len(plan.positional))
            and open_names <= kwargs.keys() & plan.keyword.keys()
            and all(
                (name in plan.keyword or plan.extra is not None) and name not in plan.names[:count] for name in kwargs
            )
        )
        if not fits:
            self.names(args, kwargs)  # says what is wrong in Python's own words

    def _planned(self) -> Plan:
        self._plan = plan = Plan.of(self._signature)
        return plan


def read_call(payload: bytes) -> tuple[list[Any], dict[str, Any]]:
    """A payload's arguments as they are stored. Raises `Undecodable`."""
    call = decode(payload, max_bytes=MAX_PAYLOAD_BYTES, depth=_CALL_DEPTH)
    if type(call) is list and len(call) == 2:
        args, kwargs = call
        if type(args) is list and type(kwargs) is dict and _TEXT.issuperset(map(type, kwargs)):
            return args, kwargs
    raise Undecodable("a payload that is no call: expected [[arguments], {keyword arguments}]")


def encode_anonymous(job: str, args: tuple[object, ...], kwargs: Mapping[str, object]) -> bytes:
    """The payload of a call whose handler is not at hand: classes are stored as their fields, unseen by a signature.

    Raises `NotStorable` or `PayloadTooLarge`; whether the arguments fit shows when the job is run. A member of a union
    that only its class could tell apart is restored as the first one that fits.
    """
    try:
        stored = [_flat(job, str(index), value) for index, value in enumerate(args)]
        payload = pack([stored, {name: _flat(job, name, value) for name, value in kwargs.items()}])
    except UnicodeEncodeError:
        for label, value in [*((str(index), value) for index, value in enumerate(args)), *kwargs.items()]:
            _check_flat_text(job, label, value)
        raise
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise PayloadTooLarge(job, len(payload))
    return payload


def _flat(job: str, label: str, value: object) -> Packable:
    try:
        return plain(flatten(value))
    except NotStorable as error:
        raise error.inside(f"job {job!r}, argument {label!r}") from None


def _check_flat_text(job: str, label: str, value: object) -> None:
    try:
        check_text(label)
        check_text(flatten(value))
    except NotStorable as error:
        raise error.inside(f"job {job!r}, argument {label!r}") from None


def _lowered(shape: Shape, value: object) -> Any:
    """`value` lowered; where it is not of the annotated type but would be restored to it (text for a UUID), as that."""
    if type(value) in shape.same:
        return value
    try:
        return shape.lower(value)
    except RecursionError:
        raise NotStorable("nested too deeply, or within itself") from None
    except Misfit as misfit:
        try:
            return shape.lower(shape.restore(value))
        except Misfit:
            raise misfit from None


def _pack_value(value: object) -> bytes:
    if type(value) in SCALARS:
        try:
            return pack_scalars(value)
        except (UnicodeEncodeError, OverflowError):
            pass  # lone surrogates, long ints: `encode` knows them
    return encode(value)
