"""What is installed is what stands in the checkout. `.ci/wheel` runs this against the built wheel."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import sysconfig
from importlib.metadata import Distribution
from pathlib import Path

import pytest

import callboard
from tests.support.house.tree import ROOMS

ROOT = Path(__file__).parent.parent
INSTALLED = Path(str(callboard.__file__)).parent

pytestmark = pytest.mark.wheel


def checkout_files() -> set[str]:
    """Every file of the package, from its root: the rooms' files and those at the root itself."""
    found = [*ROOT.glob("*.py"), ROOT / "py.typed"]
    for room in ROOMS:
        found += [file for file in (ROOT / room).rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    return {file.relative_to(ROOT).as_posix() for file in found}


def installed_distribution() -> Distribution:
    """As it stands in the environment; the checkout may hold metadata of its own."""
    return next(iter(Distribution.discover(name="callboard", path=[sysconfig.get_path("purelib")])))


def test_every_file_of_the_rooms_is_installed() -> None:
    assert {path for path in checkout_files() if not (INSTALLED / path).is_file()} == set()


@pytest.mark.skipif(
    "CALLBOARD_TEST_INSTALLED" not in os.environ, reason="an editable install lists no files of its own"
)
def test_the_wheel_carries_nothing_else() -> None:
    installed = {path for path in installed_distribution().files or () if path.parts[0] != ".."}

    code = {
        path.as_posix() for path in installed if ".dist-info" not in path.parts[0] and "__pycache__" not in path.parts
    }
    assert code == {f"callboard/{path}" for path in checkout_files()}


@pytest.mark.parametrize("path", sorted(path for path in checkout_files() if path.endswith(".py")))
def test_every_module_can_be_imported(path: str) -> None:
    name = ".".join(("callboard", *Path(path).with_suffix("").parts)).removesuffix(".__init__")

    module = importlib.import_module(name)

    assert Path(str(module.__file__)) == INSTALLED / path


def test_every_public_name_is_there() -> None:
    assert [name for name in getattr(callboard, "__all__", ()) if not hasattr(callboard, name)] == []


def test_no_room_is_a_package_of_its_own(tmp_path: Path) -> None:
    """A user's own `runtime` or `storage` package must not meet ours."""
    code = f"import importlib.util as u; print([n for n in {sorted(ROOMS)} if u.find_spec(n)])"

    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout

    assert found.strip() == "[]"


def test_both_commands_are_installed() -> None:
    commands = {point.name: point.value for point in installed_distribution().entry_points}

    assert commands["callboard"] == commands["runtime"] == "callboard.__main__:main"
