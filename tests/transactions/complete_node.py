"""A node whose handler ends its jobs in a transaction of its own, and may be killed beside the commit."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from callboard import Ctx, Runtime

sys.path.append(str(Path(__file__).resolve().parents[2]))  # run as a script, it does not find tests/

from tests.transactions.connections import on_postgres, on_sqlite

SCHEMA = "test_transactions"
runtime = Runtime()


@runtime.job
async def pay(ctx: Ctx, amount: int) -> str:
    dsn, kill = os.environ["COMPLETE_DSN"], os.environ["COMPLETE_KILL"]
    is_server = dsn.startswith("postgresql")
    async with on_postgres("postgres-asyncpg", dsn, SCHEMA) if is_server else on_sqlite("sqlite3", Path(dsn)) as opened:
        await opened.begin()
        await opened.add(amount)
        answer = await ctx.complete(f"paid {amount}", tx=opened.tx)
        if kill == "before the commit":
            os.kill(os.getpid(), signal.SIGKILL)
        await opened.commit()
        if kill == "after the commit":
            os.kill(os.getpid(), signal.SIGKILL)
    return answer


if __name__ == "__main__":
    runtime.run({"default": 10}, ready_file=os.environ["NODE_READY_FILE"])
