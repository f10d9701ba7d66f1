"""What is wrong with a call or its result. Each is one clear line that names the job."""

from __future__ import annotations

from ..kernel.errors import CallboardError

MAX_PAYLOAD_BYTES = 256 * 1024
MAX_RESULT_BYTES = 1024 * 1024


class BadArguments(CallboardError, TypeError):
    """Arguments that do not fit the handler's signature; nothing was enqueued."""


class PayloadTooLarge(CallboardError, ValueError):
    """Encoded arguments over the limit; nothing was enqueued. Store the bulk elsewhere and pass its key."""

    def __init__(self, job: str, size: int, limit: int = MAX_PAYLOAD_BYTES) -> None:
        super().__init__(job, size, limit)
        self.job = job
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"job {self.job!r}: arguments of {self.size:,} bytes, the limit is {self.limit:,}; "
            "store the bulk elsewhere and pass its key"
        )


class ResultTooLarge(CallboardError, ValueError):
    """An encoded result over the limit; the attempt fails without another, the value is not cut."""

    def __init__(self, job: str, size: int, limit: int = MAX_RESULT_BYTES) -> None:
        super().__init__(job, size, limit)
        self.job = job
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"job {self.job!r}: a result of {self.size:,} bytes, the limit is {self.limit:,}; "
            "store the bulk elsewhere and return its key"
        )


class ResultNotStorable(CallboardError, TypeError):
    """A result that cannot be stored; the attempt fails without another."""
