"""URLs as they may be printed: no password, and all else as it was."""

from __future__ import annotations

import pytest

from callboard.storage.shown import without_password

SHOWN = {
    "redis://:secret@h/0": "redis://:***@h/0",
    "redis://u:secret@h:1/0?namespace=x": "redis://u:***@h:1/0?namespace=x",
    "postgresql://u:secret@[::1]:5432/d": "postgresql://u:***@[::1]:5432/d",
    "postgresql:///d?host=/x&user=me&password=secret": "postgresql:///d?host=/x&user=me&password=***",
    "postgresql://h/d?sslpassword=secret&sslkey=k": "postgresql://h/d?sslpassword=***&sslkey=k",
    "postgresql://u:secret@h/d?listen=postgresql://u:secret@d/j": (
        "postgresql://u:***@h/d?listen=postgresql://u:***@d/j"
    ),
    "postgresql://h/d?listen=postgresql%3A%2F%2Fu%3Asecret%40d%2Fj&schema=x": (
        "postgresql://h/d?listen=postgresql://u:***@d/j&schema=x"
    ),
    "mysql://u:secret@h/d": "mysql://u:***@h/d",
    "u:secret@h/d": "u:***@h/d",
}
CUT = [
    "redis://u:sec/ret@h:1/0",
    "redis://u:se?cr@et@h:1/0",
    "redis://u:se#cret@h",
    "redis://u:se:cret@h",
    "postgresql://u:se@cret@h/d",
]
WHOLE = [
    "redis://h:6379/0",
    "rediss://u@h",
    "postgresql://u@h/d?user=a@b",
    "postgresql://a:1,b:2/d?target_session_attrs=read-write",
    "sqlite:////home/a@b/jobs.db",
    "sqlite:///jobs.db",
    "memory://",
    "jobs.db",
]


@pytest.mark.parametrize("url", SHOWN)
def test_a_password_is_hidden_wherever_it_stands(url: str) -> None:
    assert without_password(url) == SHOWN[url]


@pytest.mark.parametrize("url", CUT)
def test_a_password_whose_signs_cut_the_url_is_hidden_whole(url: str) -> None:
    shown = without_password(url)

    assert shown.startswith(f"{url.partition(':')[0]}://u:***@")
    assert "se" not in shown.partition("://")[2]
    assert "cr" not in shown
    assert "ret" not in shown


@pytest.mark.parametrize("url", WHOLE)
def test_what_has_no_password_is_shown_as_it_is(url: str) -> None:
    assert without_password(url) == url
