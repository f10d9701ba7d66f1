"""Bad input: settings. Every problem of every source is told at once, and nothing is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callboard import Runtime, Settings
from callboard.runtime.settings import InvalidSettings

from .conftest import Cli, contents, refused

MISTYPED: dict[str, Any] = {
    "lease": "soon",
    "max_crashes": "5",
    "slots": 0,
    "retention": True,
    "grace": float("nan"),
    "leas": "30s",
}


def test_unknown_or_mistyped_settings_all_of_them_at_once(folder: Path) -> None:
    with refused(InvalidSettings, by="6 settings cannot be used: ") as refusal:
        Settings(**MISTYPED)

    for said in (
        "lease: expected a duration",
        "max_crashes: expected a whole number, found '5'",
        "slots: expected 1 to 10000, found 0",
        "retention: expected a duration",
        "grace: expected",
        "leas: no such setting, did you mean lease?",
    ):
        assert said in refusal.line


def test_unknown_or_mistyped_settings_of_every_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "callboard.toml").write_text('lease = "later"\nslot = 3\n')
    monkeypatch.setenv("CALLBOARD_CONFIG", "callboard.toml")
    monkeypatch.setenv("CALLBOARD_GRACE", "soon")
    monkeypatch.setenv("CALLBOARD_POL", "1s")

    with refused(InvalidSettings, by="4 settings cannot be used: ") as refusal:
        Runtime("sqlite:///jobs.db")

    for said in ("callboard.toml: lease", "callboard.toml: slot", "CALLBOARD_GRACE: ", "did you mean CALLBOARD_POLL?"):
        assert said in refusal.line
    assert list(contents(folder)) == ["callboard.toml"]


def test_unknown_or_mistyped_settings_at_the_command_line(
    folder: Path, refused_by_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "service_of_settings.py").write_text("from callboard import Runtime\nruntime = Runtime()")
    (folder / "callboard.toml").write_text("lease = []\n")
    monkeypatch.setenv("CALLBOARD_GRAC", "3s")

    line = refused_by_cli("run", "service_of_settings:runtime", "--config", "callboard.toml", "--grace", "never")

    assert "3 settings cannot be used: " in line
    for said in ("callboard.toml: lease", "did you mean CALLBOARD_GRACE?", "--grace: expected a duration"):
        assert said in line


@pytest.mark.parametrize("settings", [{"lease": "30s"}, "30s", 30, Settings])
def test_settings_that_are_none(settings: Any) -> None:
    with refused(InvalidSettings, by="settings: expected Settings(...), found "):
        Runtime("memory://", settings=settings)
