"""Whether a failed attempt is followed by another, and when. Pure: time and randomness are handed in.

Precedence: `never` > `when` > `for_` > the default, which retries everything except programming errors (TypeError,
AttributeError), arguments that cannot be decoded, and a cancelled scope. A timeout (`JobTimeout`) is judged like any
other exception: with `for_=(ConnectionError,)` it is not retried, with `never=(TimeoutError,)` neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from ..kernel.codec import Undecodable
from ..kernel.durations import Duration, seconds
from ..kernel.errors import CallboardError

ErrorTypes = type[BaseException] | tuple[type[BaseException], ...]

NOT_RETRIED: tuple[type[BaseException], ...] = (TypeError, AttributeError, Undecodable, asyncio.CancelledError)
"""What the default does not retry: another attempt would end the same way."""


class InvalidRetry(CallboardError, ValueError):
    """A retry policy with a field that cannot be used."""


@dataclass(frozen=True, slots=True)
class Exponential:
    """Waits of `initial`, then `factor` times longer after each attempt, at most `cap`. Durations as everywhere."""

    initial: Duration = 2.0
    factor: float = 2.0
    cap: Duration = 3600.0
    _initial_s: float = field(init=False, repr=False, compare=False, default=0.0)
    _cap_s: float = field(init=False, repr=False, compare=False, default=0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_initial_s", seconds(self.initial, "Exponential initial"))
        object.__setattr__(self, "_cap_s", seconds(self.cap, "Exponential cap"))
        if not (self.factor >= 1 and math.isfinite(self.factor)):
            raise InvalidRetry(f"Exponential factor: expected a number of at least 1; found {self.factor!r}")

    def wait_s(self, attempt: int) -> float:
        """Seconds after `attempt`, counted from 1, before jitter."""
        if self._initial_s <= 0:
            return 0.0
        try:
            return min(self._initial_s * self.factor ** (attempt - 1), self._cap_s)
        except OverflowError:  # the power of a late attempt is beyond any float, the cap is not
            return self._cap_s


@dataclass(frozen=True, slots=True)
class Retry:
    """What happens after a failed attempt.

    Retry()                                    8 attempts, waits of up to 2, 4, 8, 16, 32, 64 and 128 s
    Retry(max_attempts=1)                      never again
    Retry(never=(ValueError,))                 everything but these
    Retry(for_=(ConnectionError, TimeoutError))   these only
    Retry(when=lambda error: error.status >= 500)

    With full jitter each wait lies anywhere between zero and its bound: the eight attempts of `Retry()` are over within
    254 s, after 127 s on average, besides the time that they run. To outlast an outage of an hour ask for more:
    `Retry(max_attempts=13)` goes on for 64 min on average and 128 min at most.

    Raises `InvalidRetry` or `InvalidDuration`, both ValueErrors, for a field that cannot be used.
    """

    max_attempts: int = 8  # all attempts, the first included; at least 1
    backoff: Exponential | Duration | Callable[[int], Duration] = Exponential()  # a fixed wait, or attempt -> wait
    jitter: Literal["full", "none"] = "full"  # full: between 0 and the wait, so that failures do not come back in step
    for_: ErrorTypes = ()  # if given, retry these errors only
    never: ErrorTypes = ()  # never retry these; stands over all else
    when: Callable[[Any], bool] | None = None  # decides instead of `for_`; one that raises has decided nothing
    on_retry: Callable[..., Awaitable[object]] | None = None  # awaited before the wait as on_retry(ctx, error, next_at)
    budget: Duration | None = None  # no attempt begins later than this after the job was enqueued; None: no bound
    _budget_s: float = field(init=False, repr=False, compare=False, default=math.inf)

    def __post_init__(self) -> None:
        if type(self.max_attempts) is not int or self.max_attempts < 1:
            raise InvalidRetry(f"Retry max_attempts: expected an int of at least 1; found {self.max_attempts!r}")
        if self.jitter not in ("full", "none"):
            raise InvalidRetry(f'Retry jitter: expected "full" or "none"; found {self.jitter!r}')
        object.__setattr__(self, "for_", _types(self.for_, "for_"))
        object.__setattr__(self, "never", _types(self.never, "never"))
        for name in ("when", "on_retry"):
            if (hook := getattr(self, name)) is not None and not callable(hook):
                raise InvalidRetry(f"Retry {name}: expected a function; found {type(hook).__name__}")
        if self.budget is not None:
            object.__setattr__(self, "_budget_s", seconds(self.budget, "Retry budget"))
        if not isinstance(self.backoff, Exponential) and not callable(self.backoff):
            seconds(self.backoff, "Retry backoff")

    def delay(self, attempt: int, rng: random.Random) -> float:
        """Seconds to wait after `attempt`, counted from 1, jitter included.

        A `backoff` of the user's that raises or gives no duration counts as the default back-off.
        """
        wait_s = self._wait_s(attempt)
        return wait_s * rng.random() if self.jitter == "full" else wait_s

    def may_retry(self, error: BaseException) -> bool:
        """Whether `error` is one that is retried, attempts left or not."""
        if isinstance(error, self.never):
            return False
        if self.when is not None:
            # A predicate that raises has not decided: go on as if it were not there, since attempts are bounded anyway.
            with contextlib.suppress(Exception):
                return bool(self.when(error))
        if self.for_:
            return isinstance(error, self.for_)
        return not isinstance(error, NOT_RETRIED)

    def within_budget(self, age_s: float) -> bool:
        """Whether an attempt may still begin `age_s` seconds after the job was enqueued."""
        return age_s <= self._budget_s

    def _wait_s(self, attempt: int) -> float:
        if isinstance(self.backoff, Exponential):
            return self.backoff.wait_s(attempt)
        if not callable(self.backoff):
            return seconds(self.backoff)
        try:
            return seconds(self.backoff(attempt))
        except Exception:  # the attempt has failed already: its error is to be kept, and a wait is needed all the same
            return _DEFAULT_BACKOFF.wait_s(attempt)


_DEFAULT_BACKOFF = Exponential()


def _types(given: object, name: str) -> tuple[type[BaseException], ...]:
    types: list[type[BaseException]] = []
    for one in given if isinstance(given, tuple) else (given,):
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise InvalidRetry(f"Retry {name}: expected exception classes, such as (ValueError,); found {one!r}")
        types.append(one)
    return tuple(types)
