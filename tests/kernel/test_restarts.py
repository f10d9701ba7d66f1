"""The table of what a supervisor does when a child has ended."""

from __future__ import annotations

from typing import get_args

import pytest

from callboard.kernel.exits import Crashed, Exit, Killed, Normal, Shutdown, crashed
from callboard.kernel.restarts import RESTARTS, Restart, Strategy, Verdict, judge

EXITS: list[Exit] = [Normal(), Shutdown(), Killed(), Killed(abandoned=True), Crashed(ValueError())]
AGAIN = {
    ("permanent", Normal),
    ("permanent", Shutdown),
    ("permanent", Killed),
    ("permanent", Crashed),
    ("transient", Killed),
    ("transient", Crashed),
}
SCOPES: dict[Strategy, Verdict] = {
    "one_for_one": Verdict.RESTART_ONE,
    "one_for_all": Verdict.RESTART_ALL,
    "rest_for_one": Verdict.RESTART_REST,
}


@pytest.mark.parametrize("strategy", get_args(Strategy))
@pytest.mark.parametrize("restart", RESTARTS)
@pytest.mark.parametrize("exit", EXITS, ids=repr)
def test_a_child_is_started_again_exactly_where_the_table_says(
    strategy: Strategy, restart: Restart, exit: Exit
) -> None:
    verdict = judge(strategy, restart, exit)

    assert verdict is (SCOPES[strategy] if (restart, type(exit)) in AGAIN else Verdict.LET_GO)


@pytest.mark.parametrize("exit", EXITS, ids=repr)
def test_a_significant_child_ends_its_supervisor_only_when_it_stays_away(exit: Exit) -> None:
    verdict = judge("one_for_one", "transient", exit, significant=True)

    assert verdict is (Verdict.RESTART_ONE if ("transient", type(exit)) in AGAIN else Verdict.FINISH)


def test_a_group_of_one_is_stored_as_its_plain_cause() -> None:
    cause = ValueError("the cause")

    assert crashed(ExceptionGroup("outer", [ExceptionGroup("inner", [cause])])) == Crashed(cause)


def test_a_group_of_two_stays_a_group() -> None:
    group = ExceptionGroup("both", [ValueError(), KeyError()])

    assert crashed(group).error is group
