"""A queue whose dispatcher crashes without end takes nothing else down, and is named."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from callboard import JobState
from harness.processes import BENCH, clean_environment
from tests.faults.stage import Stage
from tests.support.eventually import eventually

NODE = BENCH / "harness" / "parked_node.py"


async def test_a_queue_that_crashes_without_end_is_parked_and_doctor_names_it(stage: Stage) -> None:
    node = stage.node("sound=5", "broken=5", script=NODE, NODE_BROKEN="broken")
    stuck = await stage.enqueue("nothing", 1, queue="broken")

    sound = [await stage.enqueue("nothing", number, queue="sound") for number in range(20)]

    assert [await handle.result(timeout=20) for handle in sound] == list(range(20))

    async def named() -> dict[str, Any]:
        found = {finding["subject"]: finding for finding in await doctor(stage.runtime.store_url)}
        assert "queue broken" in found
        return found["queue broken"]

    finding = await eventually(named, within_s=20)
    assert finding["level"] == "fail"
    assert "parked" in finding["text"]
    assert "made to crash" in finding["text"]
    assert (await stage.row(stuck)).state is JobState.AVAILABLE
    assert node.is_ready


async def doctor(url: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "callboard", "doctor", "--json", "--store", url]
    ran = await asyncio.to_thread(
        subprocess.run, command, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert ran.returncode in (0, 1), ran.stderr
    findings: list[dict[str, Any]] = json.loads(ran.stdout)["findings"]
    return findings
