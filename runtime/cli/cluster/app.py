"""`callboard cluster`: the commands that run, watch, roll and drain many nodes as one."""

from __future__ import annotations

import typer

from .up import up

cluster_app = typer.Typer(help="Run and operate many nodes as one.", no_args_is_help=True, rich_markup_mode=None)

cluster_app.command("up")(up)
