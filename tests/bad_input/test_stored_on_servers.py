"""Bad input: malformed bytes in a row of PostgreSQL or a hash of Redis. The worker lives, and the bytes are kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from callboard import JobFailed, JobState, Runtime, Settings
from callboard.__main__ import main
from callboard.storage.ids import parse_id
from callboard.storage.redis.rows import HEAD
from tests.support.servers import postgres
from tests.support.servers import redis as redis_server
from tests.support.urls import SERVERS, fresh_url

from .test_stored_jobs import MALFORMED

pytestmark = pytest.mark.anyio

WAIT_S = 20.0


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_url(request.param, tmp_path) as url:
        yield url


def runtime_at(url: str) -> Runtime:
    return Runtime(url, settings=Settings(lease="2s", grace="2s", poll="100ms"), migrate=True)


@pytest.mark.parametrize("url", SERVERS, indirect=True)
async def test_malformed_bytes_in_a_row_or_a_hash(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    runtime = runtime_at(url)

    @runtime.job
    async def send(user: int) -> int:
        return user

    async with runtime:
        spoilt = dict(zip(MALFORMED, await runtime.enqueue_many([send.bind(0)] * len(MALFORMED)), strict=True))
        sound = await send.enqueue(2)
        for case, handle in spoilt.items():
            await spoil(url, handle.id, MALFORMED[case])
        async with runtime.work({"default": 2}):
            assert await sound.result(timeout=WAIT_S) == 2
            for case, handle in spoilt.items():
                with pytest.raises(JobFailed, match="undecodable") as caught:
                    await handle.result(timeout=WAIT_S)
                job = caught.value.job
                assert (job.state, job.reason, job.attempt) == (JobState.FAILED, "undecodable", 1), case
                assert await stored(url, handle.id) == MALFORMED[case]
            assert await (await send.enqueue(3)).result(timeout=WAIT_S) == 3

    capsys.readouterr()
    shown = await asyncio.to_thread(main, ["jobs", "show", spoilt["random"].id, "--json", "--store", url])
    assert shown == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["reason"], list(said["args"])) == ("undecodable", ["undecodable"])


HEADERS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda head: b"",
    "short": lambda head: head[:20],
    "no state": lambda head: b"\x63" + head[1:],
    "name of no text": lambda head: head[:-4] + b"\xff\xfe\xc3\x28",
    "name cut in a character": lambda head: head + b"\xe2\x82",
    "no name": lambda head: head[:-4],
    "queue longer than all": lambda head: head[: HEAD.size] + b"\xff\xff" + head[HEAD.size + 2 :],
    "another queue": lambda head: head.replace(b"default", b"elsewhe"),
}


@pytest.mark.parametrize("url", ["redis"], indirect=True)
@pytest.mark.parametrize("is_due_later", [False, True], ids=["available", "scheduled"])
async def test_malformed_headers_in_a_hash(url: str, is_due_later: bool) -> None:
    runtime = runtime_at(url)
    key = f"{{{url.rpartition('=')[2]}}}:"

    @runtime.job
    async def send(user: int) -> int:
        return user

    job = send.options(delay="100ms" if is_due_later else 0)
    async with runtime:
        handles = await runtime.enqueue_many([job.bind(0)] * len(HEADERS))
        sound = await job.enqueue(2)
        with redis_server.shared().client() as client:
            bad: dict[bytes, bytes] = {}
            for handle, spoilt in zip(handles, HEADERS.values(), strict=True):
                head = client.hget(f"{key}head", parse_id(handle.id))
                assert isinstance(head, bytes)
                bad[parse_id(handle.id)] = spoilt(head)
                client.hset(f"{key}head", parse_id(handle.id), spoilt(head))
        async with runtime.work({"default": 2}):
            assert await sound.result(timeout=WAIT_S) == 2
            for handle in handles:
                with pytest.raises(JobFailed, match="undecodable"):
                    await handle.result(timeout=WAIT_S)
        counts = await runtime.counts()

    with redis_server.shared().client() as client:
        assert client.hgetall(f"{key}bad") == bad
    assert {state: count for state, count in counts.items() if count} == {"completed": 1, "failed": len(HEADERS)}


@pytest.mark.parametrize("url", ["redis"], indirect=True)
def test_malformed_names_and_reasons_are_listed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["migrate", "--store", url])
    capsys.readouterr()
    assert main(["enqueue", "send", "--store", url]) == 0
    job_id = capsys.readouterr().out.strip()
    key = f"{{{url.rpartition('=')[2]}}}:"
    with redis_server.shared().client() as client:
        head = client.hget(f"{key}head", parse_id(job_id))
        assert isinstance(head, bytes)
        client.hset(f"{key}head", parse_id(job_id), head + b"\xff")
        client.hset(f"{key}reason", parse_id(job_id), b"\xfe")

    assert main(["jobs", "list", "--store", url]) == 0
    assert "send\\xff" in capsys.readouterr().out

    with redis_server.shared().client() as client:
        client.hset(f"{key}failure", parse_id(job_id), b"\xc1")
    assert main(["jobs", "show", job_id, "--store", url]) == 2
    assert "what is kept of a job's failures cannot be read" in capsys.readouterr().err


async def spoil(url: str, job_id: str, payload: bytes) -> None:
    name = url.rpartition("=")[2]
    if url.startswith("redis"):
        with redis_server.shared().client() as client:
            client.hset(f"{{{name}}}:body", parse_id(job_id), payload)
        return
    connection = await asyncpg.connect(postgres.url())
    changed = await connection.execute(f"UPDATE {name}.jobs SET payload = $1 WHERE id = $2", payload, job_id)
    await connection.close()
    assert changed == "UPDATE 1"


async def stored(url: str, job_id: str) -> bytes:
    name = url.rpartition("=")[2]
    if url.startswith("redis"):
        with redis_server.shared().client() as client:
            body = client.hget(f"{{{name}}}:body", parse_id(job_id))
        assert isinstance(body, bytes)
        return body
    connection = await asyncpg.connect(postgres.url())
    payload = await connection.fetchval(f"SELECT payload FROM {name}.jobs WHERE id = $1", job_id)
    await connection.close()
    assert isinstance(payload, bytes)
    return payload
