"""Actors of which the cluster has one, in virtual time: where it runs, who reaches it, and what it may write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from callboard import Actor, ActorStopped, AskTimeout, ChildSpec, Runtime, Settings, Supervisor
from callboard.actors.names import InvalidName
from callboard.actors.node_log import NodeLog
from callboard.kernel.errors import CallboardError
from callboard.runtime.environment import environment_here
from callboard.runtime.job import InvalidOption
from callboard.runtime.singletons import NotASingleton, UnknownActor
from callboard.storage.errors import TermOver
from callboard.storage.role import Term
from callboard.testing import Machine, simulate
from tests.support.nearby import Hub

LEASE_S = 2.0
SETTINGS = Settings(leader_lease=LEASE_S, lease="5s", grace="1s")
STORE = "sqlite:///cluster.db"  # in a simulation: one board in memory that all nodes share
SEEDS = range(5)


@dataclass(frozen=True)
class Add:
    number: int


@dataclass(frozen=True)
class Where:
    """Asks for the node it runs on and its term."""


@dataclass(frozen=True)
class Write:
    """Enqueue a job because of the term."""


@dataclass
class Log:
    """What singletons did: ("began" or "ended", the term)."""

    entries: list[tuple[str, Term]] = field(default_factory=list)


class Tally(Actor):
    """Adds up, and knows its term."""

    def __init__(self, runtime: Runtime, log: Log) -> None:
        self._runtime = runtime
        self._log = log
        self.total = 0

    async def started(self) -> None:
        self._term = self._runtime.term()
        self._log.entries.append(("began", self._term))

    async def stopping(self, exit: object) -> None:
        self._log.entries.append(("ended", self._term))

    async def receive(self, message: object) -> object:
        match message:
            case Add(number=number):
                self.total += number
                return self.total
            case Where():
                return self._term
            case Write():
                job = self._runtime.jobs["noop"].options(fence=self._runtime.term())
                return (await job.enqueue()).id
        raise TypeError(message)


class Cluster:
    """Nodes and clients on one store, with a link or without."""

    def __init__(self, *, with_link: bool = True) -> None:
        self.clock = environment_here().clock
        self.log = Log()
        self.hub = Hub(self.clock) if with_link else None
        self.nodes: dict[bytes, tuple[Runtime, Machine, asyncio.Event]] = {}

    def runtime(self) -> Runtime:
        environment = environment_here()
        if self.hub is not None:
            environment = replace(environment, link_of=self.hub.link)
        runtime = Runtime(STORE, settings=SETTINGS, environment=environment)

        @runtime.job(name="noop")
        async def noop() -> None: ...

        runtime.singleton(ChildSpec(Tally, id="tally", args=(runtime, self.log)))
        return runtime

    async def start(self) -> Runtime:
        """A node that works."""
        runtime, end = self.runtime(), asyncio.Event()
        up: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def live() -> None:
            async with runtime, runtime.work({"default": 1}) as node:
                up.set_result(node.parts.boot_id)
                await end.wait()

        machine = Machine(live)
        self.nodes[await up] = (runtime, machine, end)
        return runtime

    def crash(self, boot_id: bytes) -> None:
        """Cut its power."""
        self.nodes.pop(boot_id)[1].crash()

    async def stop(self, boot_id: bytes) -> None:
        """End it in order."""
        _, machine, end = self.nodes.pop(boot_id)
        end.set()
        await machine.ended()

    async def close(self) -> None:
        for boot_id in list(self.nodes):
            await self.stop(boot_id)


def run(play: Callable[[Cluster], Awaitable[None]], *, seed: int = 0, with_link: bool = True) -> None:
    async def main() -> None:
        cluster = Cluster(with_link=with_link)
        try:
            await play(cluster)
        finally:
            await cluster.close()

    simulate(main, seed=seed)


class TestReachingIt:
    def test_a_ref_works_on_its_node_at_once(self) -> None:
        async def main() -> None:
            runtime = Runtime("memory://", settings=SETTINGS)
            runtime.singleton(ChildSpec(Tally, id="tally", args=(runtime, Log())))
            async with runtime, runtime.work({"default": 1}):
                tally = runtime.ref("tally")
                await tally.tell(Add(2))
                assert await tally.ask(Add(3)) == 5

        asyncio.run(main())

    def test_all_nodes_and_clients_reach_the_same_one(self) -> None:
        async def play(cluster: Cluster) -> None:
            runtimes = [await cluster.start() for _ in range(3)]
            client = cluster.runtime()
            async with client:
                terms = {await one.ref("tally").ask(Where()) for one in [*runtimes, client]}
                assert len(terms) == 1
                for one in [*runtimes, client]:
                    await one.ref("tally").tell(Add(1))
                assert await client.ref("tally").ask(Add(0)) == 4

        for seed in SEEDS:
            run(play, seed=seed)

    def test_messages_wait_while_nobody_runs_it(self) -> None:
        async def play(cluster: Cluster) -> None:
            client = cluster.runtime()
            async with client:
                tally = client.ref("tally")
                await tally.tell(Add(5))
                assert tally.try_tell(Add(6))
                await cluster.start()
                assert await tally.ask(Add(0)) == 11

        run(play)

    def test_without_a_link_another_nodes_actor_is_refused_with_one_line(self) -> None:
        async def play(cluster: Cluster) -> None:
            first = await cluster.start()
            term = await first.ref("tally").ask(Where())
            assert isinstance(term, Term)
            second = await cluster.start()
            await cluster.clock.sleep(LEASE_S)
            with pytest.raises(ActorStopped) as refused:
                await second.ref("tally").ask(Where())
            assert str(refused.value) == (
                f"no actor takes messages at 'tally': it runs on node {term.holder.hex()}, and there is"
                " no link to other nodes here: give Runtime(..., link='redis://host:6379/0')"
            )
            with pytest.raises(ActorStopped):
                await second.ref("tally").tell(Where())
            assert not second.ref("tally").try_tell(Where())
            client = cluster.runtime()
            async with client:
                with pytest.raises(ActorStopped, match="it runs on nodes that work, and there is no link"):
                    await client.ref("tally").ask(Where())

        run(play, with_link=False)

    def test_where_it_cannot_start_the_reason_is_told(self) -> None:
        class Unable(Actor):
            async def started(self) -> None:
                raise OSError("no room here")

        async def main() -> None:
            runtime = Runtime("memory://", settings=SETTINGS)
            runtime.singleton(ChildSpec(Unable, id="tally"))
            async with runtime, runtime.work({"default": 1}):
                with pytest.raises(ActorStopped, match="nobody runs it now: it did not start: OSError: no room here"):
                    await runtime.ref("tally").ask(Where(), timeout=0.2)

        simulate(main)


class TestMovingIt:
    def test_fifty_kills_of_its_node(self) -> None:
        """Never two at once by the store's terms, back within a lease and a third, held refs work again."""

        async def play(cluster: Cluster) -> None:
            for _ in range(3):
                await cluster.start()
            client = cluster.runtime()
            async with client:
                held = client.ref("tally")
                terms = []
                for _ in range(50):
                    term = await held.ask(Where())
                    assert isinstance(term, Term)
                    terms.append(term)
                    cluster.crash(term.holder)
                    crashed = cluster.clock.monotonic()
                    await cluster.start()
                    while await moved_from(held, term) is None:
                        pass
                    assert cluster.clock.monotonic() - crashed <= LEASE_S * 4 / 3 + 0.1
                numbers = [term.number for term in terms]
                assert numbers == sorted(set(numbers))
                began = [term for what, term in cluster.log.entries if what == "began"]
                assert len({term.number for term in began}) == len(began) == len(set(began))

        run(play)

    def test_a_stop_hands_it_over_at_once(self) -> None:
        async def play(cluster: Cluster) -> None:
            for _ in range(3):
                await cluster.start()
            client = cluster.runtime()
            async with client:
                held = client.ref("tally")
                first = await held.ask(Where())
                assert isinstance(first, Term)
                await cluster.stop(first.holder)
                stopped = cluster.clock.monotonic()
                second = await held.ask(Where())
                assert isinstance(second, Term)
                assert cluster.clock.monotonic() - stopped <= 0.2
                assert (second.number, second.holder != first.holder) == (first.number + 1, True)
                assert cluster.log.entries == [("began", first), ("ended", first), ("began", second)]

        for seed in SEEDS:
            run(play, seed=seed)


async def moved_from(held: object, term: Term) -> Term | None:
    """The term that answers now; None when nobody did in time."""
    try:
        found = await held.ask(Where(), timeout=0.1)  # type: ignore[attr-defined]
    except (AskTimeout, ActorStopped):
        return None
    assert isinstance(found, Term)
    assert found.number > term.number
    return found


class TestItsTerm:
    def test_a_link_that_another_cluster_uses_too_is_said_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By the store its term runs, by the link another's has begun: its own node reaches it, and is told why others
        do not."""
        said: list[str] = []
        monkeypatch.setattr(NodeLog, "warning", lambda log, event, **fields: said.append(event))

        async def play(cluster: Cluster) -> None:
            assert cluster.hub is not None
            node = await cluster.start()
            assert isinstance(await node.ref("tally").ask(Where()), Term)
            stranger = cluster.hub.link(None, b"?" * 16)
            await stranger.serve("tally", lambda path: node.node.root.ref("nobody").inbox, incarnation=1_000_000)
            await cluster.clock.sleep(5 * LEASE_S)
            assert await node.ref("tally").ask(Add(1)) == 1

        run(play)

        assert sum("greater terms" in event for event in said) == 1

    def test_what_it_enqueues_is_refused_once_its_term_is_over(self) -> None:
        async def play(cluster: Cluster) -> None:
            first = await cluster.start()
            held = first.ref("tally")
            term = await held.ask(Where())
            assert isinstance(term, Term)
            assert isinstance(await held.ask(Write()), str)
            await first.jobs["noop"].options(fence=term).enqueue()  # as long as it runs, whoever says so
            await cluster.stop(term.holder)
            client = cluster.runtime()
            async with client:
                noop = client.jobs["noop"]
                with pytest.raises(TermOver, match="term 1 of role 'singleton:tally' is over"):
                    await noop.options(fence=term).enqueue()
                with pytest.raises(TermOver):
                    await client.enqueue_many([noop.bind(), noop.bind()], fence=term)
                with pytest.raises(TermOver):
                    await client.enqueue_many([noop.options(fence=term).bind()])
                assert sum((await client.counts()).values()) == 2
                assert await client.enqueue_many([], fence=term) == []

        run(play)

    def test_a_term_is_a_singletons_alone(self) -> None:
        async def main() -> None:
            runtime = Runtime("memory://", settings=SETTINGS)
            async with runtime, runtime.work({"default": 1}):
                with pytest.raises(NotASingleton, match="term: expected to be called by a singleton actor"):
                    runtime.term()

        asyncio.run(main())

    def test_a_task_that_a_singleton_left_behind_has_the_old_term(self) -> None:
        """It may not write because of the new one, which another incarnation has."""
        answers: list[object] = []
        tasks: list[asyncio.Task[None]] = []

        class Careless(Tally):
            async def started(self) -> None:
                await super().started()
                tasks.append(asyncio.create_task(self._linger()))

            async def _linger(self) -> None:
                await environment_here().clock.sleep(1.0)
                try:
                    answers.append(self._runtime.term())
                except CallboardError as error:
                    answers.append(error)

        async def main() -> None:
            runtime = Runtime("memory://", settings=SETTINGS)
            runtime.singleton(ChildSpec(Careless, id="tally", args=(runtime, Log())))
            async with runtime:
                for _ in range(2):
                    async with runtime.work({"default": 1}):
                        await runtime.ref("tally").ask(Where())
                async with runtime.work({"default": 1}):
                    await runtime.ref("tally").ask(Where())
                    await environment_here().clock.sleep(2.0)

        simulate(main)
        refused = sorted(answer.term.number for answer in answers if isinstance(answer, TermOver))
        allowed = [answer.number for answer in answers if isinstance(answer, Term)]
        assert (refused, allowed) == ([1, 2], [3])


class TestBadInput:
    @pytest.mark.parametrize(
        ("spec", "error", "says"),
        [
            ("tally", InvalidOption, "singleton: expected ChildSpec(Actor, id=...), found 'tally'"),
            (ChildSpec(Actor, id="a b"), InvalidName, "no blanks"),
            (ChildSpec(Supervisor, id="sup", args=([],)), InvalidOption, "'sup': expected an actor"),
            (ChildSpec(Actor, id="once", restart="temporary"), InvalidOption, "expected restart='permanent'"),
            (ChildSpec(Actor, id="tally"), InvalidOption, "there is one of that name already"),
        ],
    )
    def test_what_cannot_be_a_singleton(self, spec: ChildSpec, error: type[Exception], says: str) -> None:
        runtime = Runtime("memory://")
        runtime.singleton(ChildSpec(Actor, id="tally"))
        with pytest.raises(error) as refused:
            runtime.singleton(spec)
        assert says in str(refused.value)
        assert "\n" not in str(refused.value)

    async def test_it_is_declared_before_the_runtime_is_opened(self) -> None:
        runtime = Runtime("memory://")
        async with runtime:
            with pytest.raises(InvalidOption, match="expected to be declared before the runtime is opened"):
                runtime.singleton(ChildSpec(Actor, id="tally"))

    async def test_a_mis_spelt_name_is_answered_with_the_known_ones(self) -> None:
        runtime = Runtime("memory://")
        async with runtime:
            with pytest.raises(UnknownActor, match="known: none, "):
                runtime.ref("tally")
        runtime.singleton(ChildSpec(Actor, id="tally"))
        runtime.singleton(ChildSpec(Actor, id="clock"))
        async with runtime:
            with pytest.raises(UnknownActor) as unknown:
                runtime.ref("talley")
        assert str(unknown.value) == "no singleton 'talley': did you mean 'tally'? known: clock, tally"

    @pytest.mark.parametrize(
        ("url", "says"),
        [
            ("http://here", "link URL 'http://here': expected redis://host:6379/0"),
            ("redis://", "link URL 'redis://' names no host"),
            ("redis://host:port", "link URL 'redis://host:port': its port is no number"),
            ("redis://host/x", "'x' is no number of a database"),
            ("redis://[half", "is malformed"),
            (7, "link: expected a URL as text"),
        ],
    )
    def test_a_link_that_is_no_urls(self, url: str, says: str) -> None:
        with pytest.raises(CallboardError) as refused:
            Runtime("memory://", link=url)
        assert says in str(refused.value)
        assert "\n" not in str(refused.value)

    async def test_a_fence_that_is_none_and_one_within_a_transaction(self) -> None:
        runtime = Runtime("memory://")

        @runtime.job(name="noop")
        async def noop() -> None: ...

        term = Term("singleton:tally", b"x" * 16, 1)
        with pytest.raises(InvalidOption, match="fence: expected what"):
            noop.options(fence=7)  # type: ignore[arg-type]
        with pytest.raises(InvalidOption, match="tx and fence: expected one of them"):
            noop.options(fence=term, tx=object())
        async with runtime:
            with pytest.raises(InvalidOption, match="expected one fence for all calls"):
                await runtime.enqueue_many([noop.bind(), noop.options(fence=term).bind()])
