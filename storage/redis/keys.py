"""Every key of a namespace, all under one hash tag, so that Redis Cluster keeps them in one slot.

    {ns}:meta      hash   what the store says of itself: store_id, schema_version, min_code
    {ns}:head      hash   id -> header: state, token, times, queue, name (`rows.py`); rewritten by each transition
    {ns}:body      hash   id -> payload, never rewritten
    {ns}:result    hash   id -> encoded result
    {ns}:reason    hash   id -> why it ended, or why somebody asked to cancel it
    {ns}:progress  hash   id -> what the handler last reported
    {ns}:failure   hash   id -> failures, packed one after the other
    {ns}:ids       zset   all ids, score 0, so that pages go by id
    {ns}:done      zset   terminal jobs by finished_at
    {ns}:counts    hash   "<state code>:<queue>" -> jobs
    {ns}:queues    hash   queue -> "1" when paused, else "0"
    {ns}:nodes     hash   boot id -> what a node said of itself
    {ns}:seen      hash   boot id -> its last beat and report
    {ns}:boots     set    boot ids that may hold leases
    {ns}:bad       hash   id -> a header that could not be read
    {ns}:roles     hash   role -> number of its last term, end of that term's lease by the server's clock, holder
    {ns}:controls  hash   id of a control message -> boot id, verb, body, asked_at
    {ns}:answers   hash   id of a control message -> its answer
    {ns}:asked     zset   ids of control messages by asked_at
    {ns}:ready:<queue>  zset  available jobs, score = priority * 2^50 + vtime
    {ns}:due:<queue>    zset  scheduled and retryable jobs by run_at
    {ns}:lease:<boot>   zset  executing jobs by lease_until, milliseconds of the server's clock
    {ns}:asks:<boot>    zset  ids of control messages that the node has not answered, by asked_at

Jobs are fields rather than keys: a script knows its keys beforehand, and a batch is a handful of commands.
"""

from __future__ import annotations

FIXED = (
    "meta",
    "head",
    "body",
    "result",
    "reason",
    "progress",
    "failure",
    "ids",
    "done",
    "counts",
    "queues",
    "nodes",
    "seen",
    "boots",
    "bad",
    "roles",
    "controls",
    "answers",
    "asked",
)


class Keys:
    """The keys of one namespace, which is an identifier: nothing in it could close the tag."""

    __slots__ = ("answers", "counts", "failure", "fixed", "meta", "prefix", "wakeups")

    def __init__(self, namespace: str) -> None:
        self.prefix = f"{{{namespace}}}:"  # of every key; the names of queues and boot ids are joined to it by scripts
        self.fixed = tuple(self.prefix + name for name in FIXED)  # in the order in which scripts take them
        self.meta = self.prefix + "meta"
        self.counts = self.prefix + "counts"
        self.failure = self.prefix + "failure"
        self.answers = self.prefix + "answers"
        self.wakeups = self.prefix + "wakeups"  # a channel, not a key
