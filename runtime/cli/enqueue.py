"""`callboard enqueue NAME [ARG...]`: one job by its name, for operators and scripts that do not import the handler."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import operate
from .failures import WrongUse
from .options import WAIT, JsonOption, StoreOption, WaitOption, read_seconds

if TYPE_CHECKING:
    from ...storage.job import NewJob


def enqueue(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The job's name.", show_default=False)],
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARG]...", help="JSON values, such as 42 or '\"text\"'; keywords as key=42."),
    ] = None,
    queue: Annotated[str, typer.Option("--queue", "-q", metavar="QUEUE", help="Where it waits.")] = "default",
    delay: Annotated[str | None, typer.Option(metavar="DURATION", help='Not before: "30s", "5m", "1h".')] = None,
    priority: Annotated[int, typer.Option(min=0, max=3, help="0 is urgent, 3 low.")] = 2,
    store: StoreOption = None,
    wait: WaitOption = WAIT,
    as_json: JsonOption = False,
) -> None:
    """Enqueue one job, and print its id. Arguments are checked by the node that runs it."""
    from ...actors.calls import encode_anonymous
    from ...actors.names import validate_name, validate_queue
    from ...storage.ids import format_id
    from ...storage.job import NewJob
    from .output import print_json, remark

    values, keywords = read_arguments(args or [])
    delay_s = 0.0 if delay is None else read_seconds(delay, "--delay")
    name, queue = validate_name(name), validate_queue(queue)
    job = NewJob(b"", name, queue, encode_anonymous(name, values, keywords), priority, None)
    place = operate.place(store, wait)
    job_id = operate.run(_insert(place, job, int(delay_s * 1000)))
    if as_json:
        print_json({"id": format_id(job_id), "name": name, "queue": queue})
        return
    print(format_id(job_id))
    if place.is_default:
        remark(f"stored in {place.shown}; if your runtime names another store, give it with --store")


async def _insert(place: operate.Place, job: NewJob, delay_ms: int) -> bytes:
    """The id under which the job was stored: that, and when it is due, by the store's clock."""
    from ...storage.ids import IdFactory
    from ...storage.records import Wakeup
    from ...storage.store_clock import StoreClock
    from ..environment import machine_environment

    environment = machine_environment()
    async with operate.opened(place, makes_file=True) as store:
        job_id = IdFactory(StoreClock(environment.clock, store.wall_ms), environment.entropy).new_id()
        run_at = operate.now_ms(store) + delay_ms if delay_ms else None
        await store.jobs.insert([job._replace(id=job_id, run_at=run_at)])
        await store.wakeups.announce([Wakeup("work", job.queue)])
    return job_id


def read_arguments(texts: list[str]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """JSON values in order, and key=JSON as keywords: no JSON value begins with a name and "=". Raises `WrongUse`."""
    values: list[Any] = []
    keywords: dict[str, Any] = {}
    for number, text in enumerate(texts, 1):
        key, equals, rest = text.partition("=")
        if equals and key.isidentifier():
            if key in keywords:
                raise WrongUse(f"argument {number}: {key} was given before")
            keywords[key] = _read_json(rest, number, text)
        elif keywords:
            raise WrongUse(f"argument {number}: expected key=JSON after the first keyword, found {_short(text)}")
        else:
            values.append(_read_json(text, number, text))
    return tuple(values), keywords


def _read_json(text: str, number: int, whole: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        if whole.startswith("--"):
            raise WrongUse(f"no option {whole[:60]}; see `callboard enqueue --help`") from None
        raise WrongUse(
            f"argument {number}: expected a JSON value, found {_short(whole)}; text is written '\"so\"'"
        ) from None


def _refuse_constant(word: str) -> Any:
    raise ValueError(word)


def _short(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:60]!r}..."
