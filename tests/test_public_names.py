"""The public names: each is there, imported when it is first asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import callboard


@pytest.mark.wheel
@pytest.mark.parametrize("name", callboard.__all__)
def test_a_public_name_is_there(name: str) -> None:
    assert getattr(callboard, name) is not None
    assert name in dir(callboard)


def test_a_name_that_is_not_public_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Rutime'"):
        callboard.Rutime  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.wheel
def test_importing_the_package_imports_none_of_its_rooms() -> None:
    code = "import sys, callboard; print(sorted({'anyio', 'structlog', 'typer', 'msgpack'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.strip() == "[]"
