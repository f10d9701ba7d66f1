"""The command `callboard`: one module per command; `app.py` gathers them and `main` is the way in.

Modules here import at their top only what `callboard --help` needs; a command imports the rest when it runs.
"""
