"""Bad input: how a job is defined. Refused where it is written, and the job is not there."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from callboard import CallboardError, Registry, Retry
from callboard.actors.definition import InvalidDefinition, InvalidName
from callboard.actors.retry import InvalidRetry
from callboard.kernel.durations import InvalidDuration
from callboard.runtime.job import DuplicateJob, InvalidOption, NotIncluded
from callboard.runtime.runtime import Runtime

from .conftest import refused

pytestmark = pytest.mark.anyio


def plain(value: int) -> int:
    return value


async def fine(value: int) -> int:
    return value


def counting() -> Iterator[int]:
    yield 1


async def counting_later() -> AsyncIterator[int]:
    yield 1


class Service:
    async def send(self, user: int) -> int:
        return user

    @classmethod
    async def made(cls, user: int) -> int:
        return user

    @staticmethod
    async def loose(user: int) -> int:
        return user


NO_HANDLERS: list[tuple[Any, str]] = [
    (counting, "handler counting: a generator cannot be a handler; return a value instead"),
    (counting_later, "handler counting_later: a generator cannot be a handler"),
    (Service, "handler Service: expected a function; found a class"),
    (Service.send, "handler Service.send: 'self' cannot be enqueued: make a job of a function, or of a method of an"),
    (3, "a handler: expected a function; found int"),
    (fine(1), "a handler: expected a function; found coroutine"),
    (classmethod(lambda cls: None), "a handler: expected a function; found classmethod"),
]


@pytest.mark.parametrize(("handler", "said"), NO_HANDLERS)
def test_what_is_no_handler(handler: Any, said: str) -> None:
    registry = Registry()

    with refused(InvalidDefinition, by=said):
        registry.job(name="job")(handler)
    if hasattr(handler, "close"):
        handler.close()

    assert not registry.jobs


@pytest.mark.parametrize("method", [Service().send, Service.made, Service.loose, Service().made])
def test_a_method_that_is_bound_is_a_handler(method: Any) -> None:
    assert Registry().job(method).bind(1).payload == Registry().job(fine).bind(1).payload


def test_duplicate_job_names() -> None:
    registry, other = Registry(), Registry()
    first = registry.job(plain)
    other.job(name="plain")(fine)
    runtime = Runtime("memory://")
    runtime.include(registry)

    said = f"two jobs are named 'plain': {__name__}:plain and {__name__}:fine; give one of them another name="
    with refused(DuplicateJob, by=said):
        registry.job(name="plain")(fine)
    with refused(DuplicateJob, by=said):
        runtime.job(name="plain")(fine)
    with refused(DuplicateJob, by=said):
        runtime.include(other)

    assert dict(registry.jobs) == dict(runtime.jobs) == {"plain": first}


def test_a_job_made_of_a_job() -> None:
    registry: Any = Registry()
    job = registry.job(fine)

    with refused(InvalidDefinition, by="expected a function; found a job already: decorate a function once"):
        registry.job(job)
    with refused(InvalidDefinition, by="expected a function; found a job already: decorate a function once"):
        registry.job(name="again")(job)


def test_forgotten_parentheses_and_too_many_make_the_same_job() -> None:
    assert Registry().job(fine).name == Registry().job()(fine).name == "fine"


OPTIONS: list[tuple[dict[str, Any], type[CallboardError], str]] = [
    ({"queu": "mail"}, InvalidDefinition, "a job: no option 'queu'; did you mean queue?"),
    ({"max_attempts": 3}, InvalidDefinition, "a job: no option 'max_attempts'; there are name, queue, retry, timeout"),
    ({"retry": 8}, InvalidDefinition, "job 'plain': retry: expected a Retry; found int"),
    ({"timeout": "1 minute"}, InvalidDuration, "job 'plain': timeout: expected seconds as a number"),
    ({"timeout": 0}, InvalidDefinition, "job 'plain': timeout: expected more than zero, or None for no limit"),
    ({"priority": -1}, InvalidDefinition, "priority: expected 0 (urgent) to 3 (low); found -1"),
    ({"name": ""}, InvalidName, "job name: expected 1 to 128 characters; found none"),
    ({"name": "callboard.own"}, InvalidName, 'names that begin with "callboard." or "_" are reserved'),
    ({"queue": None}, InvalidName, "queue name: expected text; found NoneType"),
]


@pytest.mark.parametrize(("options", "kind", "said"), OPTIONS)
def test_options_that_cannot_be(options: dict[str, Any], kind: type[CallboardError], said: str) -> None:
    registry = Registry()

    with refused(kind, by=said):
        registry.job(**options)(plain)

    assert not registry.jobs


RETRIES: list[tuple[dict[str, Any], type[CallboardError], str]] = [
    ({"max_attempts": 0}, InvalidRetry, "Retry max_attempts: expected an int of at least 1; found 0"),
    ({"never": "ValueError"}, InvalidRetry, "Retry never: expected exception classes, such as (ValueError,)"),
    ({"for_": [ValueError]}, InvalidRetry, "Retry for_: expected exception classes"),
    ({"when": True}, InvalidRetry, "Retry when: expected a function; found bool"),
    ({"backoff": "a while"}, InvalidDuration, "Retry backoff: expected seconds as a number"),
    ({"jitter": "some"}, InvalidRetry, 'Retry jitter: expected "full" or "none"; found \'some\''),
]


@pytest.mark.parametrize(("fields", "kind", "said"), RETRIES)
def test_a_retry_that_cannot_be(fields: dict[str, Any], kind: type[CallboardError], said: str) -> None:
    with refused(kind, by=said):
        Retry(**fields)


def test_a_function_without_a_name() -> None:
    for handler in (lambda value: value, functools.partial(plain, 1)):
        with refused(InvalidDefinition, by="a handler without a name of its own"):
            Registry().job(handler)


async def test_a_registry_that_no_runtime_includes() -> None:
    job = Registry().job(fine)

    with refused(NotIncluded, by="job 'fine' belongs to no Runtime yet: call runtime.include(registry) first"):
        await job.enqueue(1)


def test_what_is_no_registry() -> None:
    found: Any
    for found in ("jobs", 5, [fine]):
        with refused(InvalidOption, by="include: expected a Registry, found"):
            Runtime("memory://").include(found)
