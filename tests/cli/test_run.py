"""`callboard run` as its users start it: real processes, real signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.eventually import eventually_sync

from .conftest import Cli

SERVICE = """
    import logging, threading
    from pathlib import Path
    import structlog
    from callboard import Ctx, Runtime, Settings

    runtime = Runtime("sqlite:///elsewhere.db", settings=Settings(poll="50ms"))

    @runtime.job(queue="mail")
    async def send(ctx: Ctx, user: int) -> str:
        ctx.logger.info("from ctx")
        structlog.get_logger().info("from structlog")
        logging.getLogger("library").info("from logging")
        return f"sent to {user}"

    @runtime.job
    def plain(secret: str) -> int:
        logging.getLogger("library").info("from a thread")
        return len(secret)

    @runtime.job(queue="slow")
    async def wait(ctx: Ctx) -> None:
        Path("started").touch()
        await ctx.sleep(600)
    """


@pytest.fixture
def service(folder: Path) -> Path:
    (folder / "service.py").write_text(textwrap.dedent(SERVICE))
    return folder


@dataclass
class Running:
    """A node process, and where its lines go."""

    process: subprocess.Popen[bytes]
    ready: Path
    out: Path
    err: Path

    def wait_until_ready(self) -> None:
        def is_ready() -> bool:
            assert self.process.poll() is None, self.err.read_text()
            return self.ready.exists()

        # What a poll asserts is taken as "not yet": an early death shows as the cause of the final error.
        eventually_sync(is_ready, within_s=30)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def running(folder: Path, *options: str, target: str = "service:runtime") -> Iterator[Running]:
    out, err, ready = folder / "out", folder / "err", folder / "ready"
    command = [sys.executable, "-m", "callboard", "run", target, "--ready-file", str(ready), *options]
    with out.open("wb") as to_out, err.open("wb") as to_err:
        process = subprocess.Popen(command, stdout=to_out, stderr=to_err, cwd=folder)
    try:
        yield Running(process, ready, out, err)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)


def wait_for(cli: Cli, job_id: str, state: str) -> dict[str, object]:
    def look() -> dict[str, object] | None:
        job: dict[str, object] = cli("jobs", "show", job_id, "--json").json
        return job if job["state"] == state else None

    found = eventually_sync(look, within_s=30)
    assert found is not None
    return found


def test_a_node_runs_jobs_until_it_is_told_to_end(service: Path, cli: Cli) -> None:
    with running(service, "--store", "sqlite:///callboard.db", "-q", "mail=2") as node:
        node.wait_until_ready()
        job_id = cli("enqueue", "send", "7", "--queue", "mail").out.strip()
        job = wait_for(cli, job_id, "completed")
        findings = cli("doctor", "--json").json["findings"]
        code = node.end()

    assert job["result"] == "sent to 7"
    assert any("queues mail=2" in finding["text"] for finding in findings)
    assert code == 0
    assert not node.ready.exists()
    assert node.out.read_bytes() == b""
    assert not (service / "elsewhere.db").exists()


def test_every_line_of_a_handler_names_its_job_and_no_line_its_arguments(service: Path, cli: Cli) -> None:
    with running(service, "--store", "sqlite:///callboard.db", "--log-format", "json") as node:
        node.wait_until_ready()
        sent = cli("enqueue", "send", "7", "--queue", "mail").out.strip()
        counted = cli("enqueue", "plain", '"s3cr3t"').out.strip()
        wait_for(cli, sent, "completed")
        wait_for(cli, counted, "completed")
        node.end()

    lines = [json.loads(line) for line in node.err.read_text().splitlines()]
    by_event = {line["event"]: line for line in lines}
    for event, job_id, name in [
        ("from ctx", sent, "send"),
        ("from structlog", sent, "send"),
        ("from logging", sent, "send"),
        ("from a thread", counted, "plain"),
    ]:
        line = by_event[event]
        assert (line["job_id"], line["job"], line["attempt"]) == (job_id, name, 1)
    assert len([line for line in lines if line.get("job_id") == counted]) == 1
    assert "s3cr3t" not in node.err.read_text()


def test_a_drain_hands_back_what_does_not_end_within_the_grace(service: Path, cli: Cli) -> None:
    with running(service, "--store", "sqlite:///callboard.db", "--grace", "100ms") as node:
        node.wait_until_ready()
        job_id = cli("enqueue", "wait", "--queue", "slow").out.strip()
        eventually_sync((service / "started").exists, within_s=30)
        code = node.end()

    job = cli("jobs", "show", job_id, "--json").json
    assert code == 0
    assert (job["state"], job["attempt"], job["crashes"]) == ("available", 0, 0)


def test_a_second_signal_interrupts(service: Path, cli: Cli) -> None:
    with running(service, "--store", "sqlite:///callboard.db", "--grace", "1h") as node:
        node.wait_until_ready()
        job_id = cli("enqueue", "wait", "--queue", "slow").out.strip()
        eventually_sync((service / "started").exists, within_s=30)
        node.process.send_signal(signal.SIGINT)
        eventually_sync(lambda: not node.ready.exists(), within_s=30)
        code = node.end(signal.SIGINT)

    assert code == 0
    assert cli("jobs", "show", job_id, "--json").json["state"] == "available"


def test_settings_come_from_option_call_variable_and_file(
    service: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (service / "shown.py").write_text(
        "from callboard import Runtime, Settings\n"
        "class Shown(Runtime):\n"
        "    def run(self, queues=None, *, ready_file=None, wait=0):\n"
        "        s = self.settings\n"
        "        print(s.grace_s, s.poll_s, s.lease_s, s.max_crashes, queues, self.store_url)\n"
        "runtime = Shown('sqlite:///mine.db', settings=Settings(poll='2s', grace='2s'))\n"
    )
    (service / "callboard.toml").write_text('grace = "4s"\npoll = "4s"\nlease = "4s"\nmax_crashes = 4\nslots = 4\n')
    monkeypatch.setenv("CALLBOARD_LEASE", "3s")

    with running(
        service, "--grace", "1s", "--config", "callboard.toml", "-q", "a=1", "-q", "b", target="shown:runtime"
    ) as node:
        code = node.process.wait(30)

    assert code == 0, node.err.read_text()
    assert node.out.read_text() == "1.0 2.0 3.0 4 {'a': 1, 'b': 4} sqlite:///mine.db\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-q", "mail=0"], "--queue mail=0: expected QUEUE=SLOTS with 1 to 10000 slots, such as mail=20"),
        (["-q", "mail=two"], "--queue mail=two: expected QUEUE=SLOTS"),
        (["-q", "mail", "-q", "mail=2"], "--queue mail: expected each queue once, found it twice"),
        (["-q", ""], "queue name: expected 1 to 128 characters; found none"),
        (["-q", "_hidden=2"], "queue name '_hidden': names that begin with"),
        (["--log-format", "xml"], "--log-format: expected console or json, found 'xml'"),
        (["--grace", "soon"], "a setting cannot be used: --grace: expected a duration"),
        (["--config", "nowhere.toml"], "a setting cannot be used: nowhere.toml: expected a readable TOML file"),
        (["--ready-file", "no/such/folder"], "--ready-file: expected a path in a folder that can be written to"),
    ],
)
def test_a_wrong_option_gets_one_line_and_starts_nothing(
    service: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.setattr("callboard.runtime.logs.configure_logging", lambda *args, **options: None)

    result = cli("run", "service:runtime", *options)

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"callboard: {said}")
    assert result.err.count("\n") == 1
    assert not (service / "elsewhere.db").exists()


@pytest.mark.parametrize("store", ["sqlite:////", "sqlite:///no/such/folder/x.db", "mysql://host/db"])
def test_a_store_that_cannot_be_opened_ends_the_node_with_one_line(service: Path, store: str) -> None:
    with running(service, "--store", store) as node:
        code = node.process.wait(30)

    last = node.err.read_text().splitlines()[-1]
    assert code == 2
    assert last.startswith("callboard: ")
    assert "Traceback" not in node.err.read_text()
    assert not node.ready.exists()
