"""`callboard demo`, shortened to be read: one job for each Python file of a folder, and a last one that fans in.

    python examples/codeindex.py [FOLDER]          (left out: the folder `json` of the standard library)

The whole version is in runtime/demo: two node processes, a bar, kills, and going on after an interruption.
"""

import ast
import asyncio
import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from callboard import Ctx, JobFailed, Retry, Runtime, Snooze

runtime = Runtime("memory://")  # with sqlite:///index.db it would outlive this process, and others could help


@dataclass
class Indexed:
    path: str
    functions: int
    classes: int
    imports: list[str]


@dataclass
class Report:
    files: int
    functions: int
    classes: int
    most_imported: dict[str, int]
    unparsed: dict[str, str]


# Text that is no Python stays so: one attempt, then failed. Anything else is tried again.
@runtime.job(queue="codeindex", retry=Retry(max_attempts=3, never=(SyntaxError, ValueError)))
def index(path: str) -> Indexed:  # a plain function: runs in a thread
    nodes = list(ast.walk(ast.parse(Path(path).read_bytes())))
    imports = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    return Indexed(
        path,
        functions=sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes),
        classes=sum(isinstance(node, ast.ClassDef) for node in nodes),
        imports=sorted(imports | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}),
    )


@runtime.job(queue="codeindex", priority=3)  # the lowest: claimed when every file has been
async def report(ctx: Ctx, ids: dict[str, str]) -> Report | Snooze:
    counts = await runtime.counts(ctx.queue)
    if counts["available"] + counts["retryable"] + counts["executing"] > 1:  # one of them is this one
        return Snooze(0.1)
    found = Report(len(ids), 0, 0, {}, {})
    importers = Counter[str]()
    ends = (runtime.handle(job_id).result() for job_id in ids.values())
    for path, end in zip(ids, await asyncio.gather(*ends, return_exceptions=True), strict=True):
        match end:
            case {"functions": functions, "classes": classes, "imports": imports}:
                found.functions += functions
                found.classes += classes
                importers.update(imports)
            case JobFailed(job=job):
                found.unparsed[path] = job.error.error.message if job.error else job.reason or "unknown"
            case other:
                raise TypeError(f"{path}: unexpected {other!r}")
    found.most_imported = dict(importers.most_common(10))
    return found


async def main(paths: list[str]) -> None:
    async with runtime.work(queues={"codeindex": 1}):  # one at a time: Python 3.11 parses in one thread only
        handles = await runtime.enqueue_many([index.bind(path) for path in paths])
        last = await report.enqueue({path: handle.id for path, handle in zip(paths, handles, strict=True)})
        print(json.dumps(asdict(await last.result(timeout=60)), indent=2))


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(json.__file__).parent
    asyncio.run(main([str(path) for path in sorted(folder.rglob("*.py"))]))
