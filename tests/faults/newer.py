"""The next version of this code: it knows one migration more, a column that may be null, and writes to it.

newer.py migrate --store URL      as `callboard migrate` of that version
newer.py QUEUE=SLOTS ...          a node of that version, with the handlers of node.py
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from callboard.runtime.cli.app import main
from callboard.storage.migrate import Migration, load_migrations
from callboard.storage.postgres import opening
from callboard.storage.sqlite import connection, ends
from callboard.storage.statements import Statement, load


def become_newer() -> None:
    """Add the migration on both stores, and let the statements that end jobs fill its column."""
    known = load_migrations("callboard.storage.sqlite", "sql/migrations")
    more = Migration(known[-1].number + 1, 1, ("ALTER TABLE jobs ADD COLUMN note TEXT",))
    setattr(connection, "load_migrations", lambda package, folder: (*known, more))  # noqa: B010 - no public name
    ends._FINISH = Statement(replaced(ends._FINISH.text, "finished_at = ?,", "note = 'newer', finished_at = ?,"))

    column = "ALTER TABLE callboard.done ADD COLUMN note text"
    opening.MIGRATIONS = (*opening.MIGRATIONS, Migration(opening.MIGRATIONS[-1].number + 1, 1, (column,)))
    for name, result in (("finish", "($5::bytea[])[place]"), ("complete", "($3::bytea[])[width_bucket(id, $1)]")):
        end = load("callboard.storage.postgres", f"sql/jobs/{name}.sql")
        end.text = replaced(end.text, "progress, result)", "progress, result, note)")
        end.text = replaced(end.text, result, f"{result}, 'newer'")


def replaced(text: str, part: str, by: str) -> str:
    assert text.count(part) == 1, part
    return text.replace(part, by)


if __name__ == "__main__":
    become_newer()
    if sys.argv[1] == "migrate":
        sys.exit(main(sys.argv[1:]))
    runpy.run_path(str(Path(__file__).with_name("node.py")), run_name="__main__")
