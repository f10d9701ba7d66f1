"""How a command ends when it cannot do what was asked: one line on stderr, and an exit code.

CallboardError
├─ WrongUse       exit code 2: what was typed, or what it names, cannot be used
└─ CommandFailed  exit code 1: it could be used, and it did not work out
"""

from __future__ import annotations

from ...kernel.errors import CallboardError
from ...storage.errors import Corrupt, MigrationNeeded

DONE, FAILED, WRONG_USE = 0, 1, 2


class WrongUse(CallboardError):
    """A command line that cannot be carried out as it stands. Nothing was done."""


class CommandFailed(CallboardError):
    """A command that was understood and did not come to its end."""


def exit_code_of(error: CallboardError) -> int:
    """2 for an error that the user removes by typing or setting something else, else 1.

    Errors about a value that was handed in derive from ValueError or TypeError all over Callboard; what a store
    or a node ran into does not. A file that is no store, or one for other code, was named by the user as well.
    """
    return WRONG_USE if isinstance(error, WrongUse | ValueError | TypeError | Corrupt | MigrationNeeded) else FAILED


def one_line(text: str) -> str:
    """`text` as one line without control characters, so that what a store holds cannot steer the terminal."""
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """`text` with every control character but newline and tab shown as its escape."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode() for char in text
    )
