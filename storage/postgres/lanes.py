"""Which connections a store has. The listening one is in `wakeups.py`, the heartbeat's in `heartbeats.py`."""

from __future__ import annotations

from .lane import Lane, Server


class Lanes:
    """Connections by kind of work; each is made when it is first needed."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.work = Lane(server, tells_time=True)  # inserts, operators' verbs, rescue, nodes
        self.claims = Lane(server, halves=True, spare=self.work)
        self.ends = Lane(server, spare=self.work)
        self.reads = Lane(server, tells_time=True, spare=self.work)
        self.hints = Lane(server, spare=self.work)  # a NOTIFY by itself, which may wait for the commits of others
        self.roles = Lane(server, spare=self.work)  # leases on roles, which should not wait for work
        self.upkeep = Lane(server)  # VACUUM and looks along the line, under load

    async def close(self) -> None:
        """Let what is under way end, then disconnect; last the one that the others may go by."""
        for lane in (self.claims, self.ends, self.hints, self.upkeep, self.reads, self.roles, self.work):
            await lane.close()
