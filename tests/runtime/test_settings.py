"""Settings: where a value comes from, and what is said of those that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from callboard.kernel.errors import CallboardError
from callboard.runtime.settings import InvalidSettings, Settings, load_settings


def problems_of(
    *,
    environ: Mapping[str, str] | None = None,
    config: Path | None = None,
    overrides: Mapping[str, object] | None = None,
) -> tuple[str, ...]:
    with pytest.raises(InvalidSettings) as caught:
        load_settings(environ=environ or {}, config=config, overrides=overrides)
    return caught.value.problems


def test_defaults_are_those_of_the_design() -> None:
    settings = load_settings(environ={})

    assert (settings.lease_s, settings.grace_s, settings.max_crashes) == (30.0, 20.0, 5)
    assert (settings.retention_s, settings.slots, settings.disk_reserve_bytes) == (86400.0, 10, 16 * 1024 * 1024)
    assert settings == Settings()


@pytest.mark.parametrize("lease", [120, 120.0, "120", "120s", "2m", timedelta(minutes=2)])
def test_a_duration_is_seconds_timedelta_or_text(lease: float | timedelta | str) -> None:
    settings = Settings(lease=lease)

    assert settings.lease_s == 120.0


@pytest.mark.parametrize(("text", "expected"), [("8MB", 8_000_000), ("1 MiB", 1_048_576), ("512", 512), (77, 77)])
def test_a_size_is_bytes_or_text(text: int | str, expected: int) -> None:
    settings = Settings(disk_reserve=text)

    assert settings.disk_reserve_bytes == expected


def test_sources_stand_in_the_order_override_call_environment_file_default(tmp_path: Path) -> None:
    file = tmp_path / "callboard.toml"
    file.write_text('lease = "11s"\ngrace = "11s"\nmax_crashes = 11\nslots = 11\n')
    environ = {"CALLBOARD_LEASE": "12s", "CALLBOARD_GRACE": "12s", "CALLBOARD_MAX_CRASHES": "12"}

    settings = load_settings(
        Settings(lease="13s", grace="13s"), overrides={"lease": "14s"}, environ=environ, config=file
    )

    assert settings.lease_s == 14.0
    assert settings.grace_s == 13.0
    assert settings.max_crashes == 12
    assert settings.slots == 11
    assert settings.retention_s == 86400.0


def test_a_value_given_as_its_default_still_wins_over_the_environment() -> None:
    settings = load_settings(Settings(lease="30s"), environ={"CALLBOARD_LEASE": "2s"})

    assert settings.lease_s == 30.0


def test_composed_settings_can_be_composed_again_without_change(tmp_path: Path) -> None:
    environ = {"CALLBOARD_GRACE": "3s"}
    once = load_settings(Settings(lease="5s"), environ=environ)

    again = load_settings(once, environ=environ)

    assert again == once
    assert again.as_given() == {"lease": 5.0}


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "callboard.toml"
    file.write_text("slots = 4\n")

    settings = load_settings(environ={"CALLBOARD_CONFIG": str(file)})

    assert settings.slots == 4


def test_variables_that_are_no_settings_are_left_alone() -> None:
    environ = {
        "CALLBOARD_STORE": "memory://",
        "CALLBOARD_TEST_POSTGRES": "1",
        "CALLBOARD_LEASE": "",
        "PATH": "/bin",
        "MY_CALLBOARD_LEASE": "x",
    }

    assert load_settings(environ=environ) == Settings()


def test_all_problems_of_all_sources_are_reported_together(tmp_path: Path) -> None:
    file = tmp_path / "callboard.toml"
    file.write_text('retentoin = "1h"\nmax_crashes = "many"\n[grace]\nsoft = 3\n')

    problems = problems_of(
        environ={"CALLBOARD_LAESE": "3s", "CALLBOARD_POLL": "soon", "CALLBOARD_SLOTS": "0"},
        config=file,
        overrides={"grace": "-1s", "colour": True},
    )

    assert set(problems) == {
        f"{file}: retentoin: no such setting, did you mean retention?",
        f"{file}: max_crashes: expected a whole number, found 'many'",
        f'{file}: grace: expected a duration such as "30s", "5m", "1h" or a number of seconds, found a dict',
        "CALLBOARD_LAESE: no such setting, did you mean CALLBOARD_LEASE?",
        'CALLBOARD_POLL: expected a duration such as "30s", "5m", "1h" or a number of seconds, found \'soon\'',
        "CALLBOARD_SLOTS: expected 1 to 10000, found 0",
        '--grace: expected a duration such as "30s", "5m", "1h" or a number of seconds, found \'-1s\'',
        (
            "--colour: no such setting; there are lease, leader_lease, grace, max_crashes, retention, slots, poll,"
            " disk_reserve"
        ),
    }


def test_a_call_reports_all_its_problems_together() -> None:
    wrong: dict[str, object] = {"leese": 3, "max_crashes": True, "slots": 2.5, "grace": float("nan")}

    with pytest.raises(InvalidSettings) as caught:
        Settings(**wrong)  # type: ignore[arg-type]

    assert len(caught.value.problems) == 4
    assert "leese: no such setting, did you mean lease?" in str(caught.value)
    assert isinstance(caught.value, CallboardError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"lease": 0.5}, "--lease: expected 1 s to 86400 s, found 0.5"),
        ({"grace": -1.0}, "--grace: expected 0 s to 86400 s, found -1.0"),
        ({"max_crashes": 0}, "--max_crashes: expected 1 to 1000000, found 0"),
        ({"disk_reserve": -5}, "--disk_reserve: expected 0 to 1125899906842624, found -5"),
        ({"lease": "inf"}, "--lease: expected 1 s to 86400 s, found 'inf'"),
        ({"poll": 61}, "--poll: expected 0.01 s to 60 s, found 61"),
    ],
)
def test_values_out_of_range_are_refused(overrides: dict[str, object], expected: str) -> None:
    assert problems_of(overrides=overrides) == (expected,)


def test_bad_toml_is_reported_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "callboard.toml"
    file.write_text('lease = "5s"\ngrace = \n')

    (problem,) = problems_of(config=file)

    assert problem.startswith(f"{file}: expected TOML, found: ")
    assert "line 2" in problem


@pytest.mark.parametrize("kind", ["missing", "folder", "latin-1"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "callboard.toml"
    if kind == "folder":
        file.mkdir()
    if kind == "latin-1":
        file.write_bytes(b'lease = "5s" # \xe9t\xe9\n')

    (problem,) = problems_of(config=file)

    assert problem.startswith(f"{file}: expected a ")


def test_a_store_in_the_file_is_pointed_to_its_place(tmp_path: Path) -> None:
    file = tmp_path / "callboard.toml"
    file.write_text('store = "memory://"\n')

    (problem,) = problems_of(config=file)

    assert problem == f"{file}: store: no setting of this name here; use --store or CALLBOARD_STORE"
