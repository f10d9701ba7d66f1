"""examples/cluster: four nodes, a singleton, a kill and a drain, as a reader would run it."""

from __future__ import annotations

from pathlib import Path

from .test_examples import EXAMPLES, run


def test_the_theatre_plays_through_a_kill_and_a_drain(tmp_path: Path) -> None:
    lines = run(EXAMPLES / "cluster" / "play.py", cwd=tmp_path).splitlines()

    assert lines[1] == "killed the node on which the clerk lives"
    assert lines[2].startswith("the clerk lives on another node, in term ")
    assert lines[-3:-1] == ["all nodes told to end; the cluster ended with code 0", "1500 of 1500 tickets sold"]
    sold = [line.split()[1] for line in (tmp_path / "notes.txt").read_text().splitlines() if line.startswith("sold")]
    assert set(sold) == {str(seat) for seat in range(1500)}
