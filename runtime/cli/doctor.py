"""`callboard doctor`: what a store and its nodes look like from outside; exit code 1 if something fails.

Nodes say of themselves what they know, in the report that each heartbeat renews; the rest is read from the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from . import operate
from .failures import CommandFailed, WrongUse
from .options import WAIT, JsonOption, StoreOption, WaitOption
from .reports import is_alive, report_of, state_of

if TYPE_CHECKING:
    from ...storage.ports.store import Store
    from ...storage.records import Finding, Node, QueueRow

WAITS_LONG_S = 300.0


@dataclass(frozen=True, slots=True)
class Examined:
    """What was read, at one moment."""

    findings: Sequence[Finding]  # the store's own
    nodes: Sequence[Node]
    queues: Sequence[QueueRow]
    stranded: int  # executing jobs of nodes that are gone
    now_ms: int
    lease_s: float

    def is_alive(self, node: Node) -> bool:
        """Whether the node renewed its row within its lease."""
        return is_alive(node, self.now_ms, self.lease_s)


def doctor(
    store: StoreOption = None,
    wait: WaitOption = WAIT,
    ready: Annotated[
        bool, typer.Option("--ready", help="Only say whether a node on this host is ready to claim: for probes.")
    ] = False,
    pid: Annotated[
        int | None, typer.Option("--pid", metavar="PID", help="With --ready: the node of that process.")
    ] = None,
    nodes: Annotated[
        int, typer.Option("--nodes", metavar="N", help="With --ready: so many nodes, not one.", min=1)
    ] = 1,
    anywhere: Annotated[bool, typer.Option("--anywhere", help="With --ready: on whichever host.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Examine the store, its nodes and its queues."""
    from .describe import node_object, queue_object
    from .output import Column, print_json, print_table

    place = operate.place(store, wait)
    if ready:
        _say_whether_ready(place, pid, nodes, anywhere, as_json)
        return
    if pid is not None or nodes != 1 or anywhere:
        raise WrongUse("--pid, --nodes and --anywhere say which nodes are to be ready: give them with --ready")
    examined = operate.run(_examine(place))
    url = place.shown
    findings = [*examined.findings, *_on_nodes(examined), *_on_queues(examined)]
    fails = [finding for finding in findings if finding.level == "fail"]
    if as_json:
        print_json(
            {
                "store": url,
                "ok": not fails,
                "findings": [finding._asdict() for finding in findings],
                "nodes": [node_object(node) | {"alive": examined.is_alive(node)} for node in examined.nodes],
                "queues": [queue_object(row) for row in examined.queues],
            }
        )
    else:
        columns = (Column("", is_state=True), Column("SUBJECT"), Column("FINDING"))
        print_table(columns, [[finding.level, finding.subject, finding.text] for finding in findings])
    if fails:
        raise typer.Exit(1)


def _say_whether_ready(place: operate.Place, pid: int | None, wanted: int, is_anywhere: bool, as_json: bool) -> None:
    """Code 0 only if so many nodes can claim, by their own rows in the store. Raises `CommandFailed`."""
    import platform

    from ..settings import load_settings
    from .output import print_json, remark

    lease_s = load_settings().lease_s
    host = None if is_anywhere else platform.node()
    rows, now_ms = operate.run(_nodes(place))
    meant = [row for row in rows if host in (None, row.host) and pid in (None, row.pid)]
    states = [state_of(row, now_ms, lease_s) for row in meant]
    working = states.count("ready")
    if as_json:
        print_json({"ready": working >= wanted, "nodes": working})
    if working < wanted:
        others = [f"{row.host}:{row.pid} is {state}" for row, state in zip(meant, states, strict=True)]
        where = "anywhere" if host is None else f"on {host}"
        which = f"{working} of {wanted} nodes" if working else "no node" + ("" if pid is None else f" of process {pid}")
        told = "".join(f"; {other}" for other in others if not other.endswith(" is ready"))
        raise CommandFailed(f"not ready: {which} {where} claims from {place.shown}{told}")
    if not as_json:
        remark(f"ready: {working} node{'' if working == 1 else 's'}")


async def _nodes(place: operate.Place) -> tuple[Sequence[Node], int]:
    async with operate.opened(place) as store:
        return await store.nodes.list(), operate.now_ms(store)


async def _examine(place: operate.Place) -> Examined:
    from ..settings import load_settings

    async with operate.opened(place) as store:
        nodes = await store.nodes.list()
        examined = Examined(
            findings=await store.examine(),
            nodes=nodes,
            queues=await store.queues.list(),
            stranded=0,
            now_ms=operate.now_ms(store),
            lease_s=load_settings().lease_s,
        )
        alive = {node.boot_id for node in nodes if examined.is_alive(node)}
        return Examined(
            examined.findings,
            nodes,
            examined.queues,
            await _count_stranded(store, alive),
            examined.now_ms,
            examined.lease_s,
        )


async def _count_stranded(store: Store, alive: set[bytes]) -> int:
    from ...storage.job import JobState
    from ...storage.records import JobFilter

    stranded = 0
    async for page in operate.pages(store, JobFilter(frozenset({JobState.EXECUTING}))):
        stranded += sum(job.boot_id not in alive for job in page)
    return stranded


def _on_nodes(examined: Examined) -> list[Finding]:
    from ...storage.records import Finding
    from .output import since, span

    found: list[Finding] = []
    for node in examined.nodes:
        subject = f"node {node.host}:{node.pid}"
        report = report_of(node)
        if not examined.is_alive(node):
            last = since(node.seen_at, examined.now_ms)
            found.append(Finding("warn", subject, f"last seen {last}: it crashed, or cannot reach the store"))
            continue
        queues = ", ".join(f"{queue}={slots}" for queue, slots in report.get("queues", {}).items())
        up = span((examined.now_ms - node.started_at) / 1000)
        doing = "draining" if report.get("is_draining") else f"{report.get('executing', 0)} executing"
        if report.get("storage_reset"):
            text = "storage_reset: the store was emptied or replaced under it; it claims nothing until it is restarted"
            found.append(Finding("fail", subject, text))
            continue
        found.append(Finding("ok", subject, f"version {node.version}, up {up}, queues {queues}, {doing}"))
        for queue, why in report.get("parked", {}).items():
            found.append(
                Finding("fail", f"queue {queue}", f"parked on {node.host}:{node.pid}, tried again soon: {why}")
            )
        if report.get("refused_writes"):
            text = f"{report['refused_writes']} late writes refused, {report.get('lost_leases', 0)} leases lost"
            found.append(Finding("warn", subject, f"{text}: its jobs block longer than the lease, or its disk does"))
    versions = sorted({node.version for node in examined.nodes if examined.is_alive(node)})
    if len(versions) > 1:
        found.append(Finding("warn", "versions", f"nodes run different ones: {', '.join(versions)}"))
    if not any(examined.is_alive(node) for node in examined.nodes):
        found.append(
            Finding("warn", "nodes", "none works on this store; start one with `callboard run MODULE:RUNTIME`")
        )
    if examined.stranded:
        text = f"{examined.stranded} executing jobs are held by nodes that are gone; rescued when their leases end"
        found.append(Finding("warn", "leases", text))
    return found


def _on_queues(examined: Examined) -> list[Finding]:
    from ...storage.job import JobState
    from ...storage.records import Finding
    from .output import span

    served = {
        queue for node in examined.nodes if examined.is_alive(node) for queue in report_of(node).get("queues", {})
    }
    found: list[Finding] = []
    for row in examined.queues:
        waiting = row.counts.get(JobState.AVAILABLE, 0)
        wait = "1 job waits" if waiting == 1 else f"{waiting:,} jobs wait"
        late_s = 0.0 if row.oldest_run_at is None else (examined.now_ms - row.oldest_run_at) / 1000
        subject = f"queue {row.name}"
        if row.is_paused:
            found.append(Finding("warn", subject, f"paused, {wait}; `callboard queues resume {row.name}`"))
        elif waiting and served and row.name not in served:
            found.append(Finding("warn", subject, f"{wait} and no node works on it"))
        elif waiting and late_s > WAITS_LONG_S:
            found.append(Finding("warn", subject, f"{wait}, the oldest for {span(late_s)}"))
    return found
