"""`callboard cluster`: the commands that run, watch, roll and drain many nodes as one."""

from __future__ import annotations

import typer

from .drain import drain
from .ping import ping
from .status import status
from .switch import pause, resume
from .up import up

cluster_app = typer.Typer(help="Run and operate many nodes as one.", no_args_is_help=True, rich_markup_mode=None)

cluster_app.command("up")(up)
cluster_app.command("status")(status)
cluster_app.command("drain")(drain)
cluster_app.command("ping")(ping)
cluster_app.command("pause")(pause)
cluster_app.command("resume")(resume)
