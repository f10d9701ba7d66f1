"""What docs/deploy.md tells people to copy: unit, image and manifests are read, and their commands taken apart."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from callboard.kernel.durations import seconds
from callboard.runtime.cli.app import app
from callboard.runtime.cli.cluster.up import STUCK_S

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")


def fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def understood(words: Sequence[str]) -> dict[str, Any]:
    """The options of a command line, its first word `callboard`. Raises what the command itself would refuse."""
    name, *rest = words
    assert Path(name).name == "callboard"
    command: Any = get_command(app)
    context = command.make_context("callboard", list(rest), resilient_parsing=True)
    while hasattr(command, "commands"):
        verb, *rest = rest
        command = command.commands[verb]
    context = command.make_context(" ".join(words), rest, parent=context)
    given: dict[str, Any] = context.params
    return given


@pytest.fixture(scope="module")
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    [text] = fenced("ini")
    parser.read_string(text)
    return parser


@pytest.fixture(scope="module")
def manifests() -> dict[str, Any]:
    first, _ = fenced("yaml")
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(first)}


def test_the_unit_runs_commands_that_exist(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]

    start = understood(shlex.split(service["ExecStart"]))
    check = understood(shlex.split(service["ExecStartPre"]))

    assert unit.sections() == ["Unit", "Service", "Install"]
    assert (start["target"], start["nodes"], list(start["queue"])) == ("service:runtime", 4, ["default=10"])
    assert check["check"] is True
    assert service["KillMode"] == "mixed"
    assert shlex.split(service["ExecReload"])[1:] == ["-HUP", "$MAINPID"]
    assert float(service["TimeoutStopSec"]) >= seconds(start["grace"]) + STUCK_S


def test_the_image_runs_a_command_that_exists() -> None:
    [text] = fenced("dockerfile")
    instructions = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in text.splitlines()}

    given = understood([*json.loads(instructions["ENTRYPOINT"]), *json.loads(instructions["CMD"])])

    assert given["target"] == "service:runtime"
    assert instructions["STOPSIGNAL"] == "SIGTERM"
    assert next(iter(instructions)) == "FROM"


def containers(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from manifest["spec"]["template"]["spec"]["containers"]


def test_the_manifests_are_whole(manifests: dict[str, Any]) -> None:
    assert set(manifests) == {"Secret", "Job", "Deployment", "PodDisruptionBudget"}
    for manifest in manifests.values():
        assert set(manifest) >= {"apiVersion", "kind", "metadata"}
    [secret] = {manifests["Secret"]["metadata"]["name"]}
    for kind in ("Job", "Deployment"):
        for container in containers(manifests[kind]):
            assert container["envFrom"] == [{"secretRef": {"name": secret}}]
    deployment = manifests["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels


def test_the_manifests_run_commands_that_exist(manifests: dict[str, Any]) -> None:
    [migrate] = containers(manifests["Job"])
    [node] = containers(manifests["Deployment"])

    run = understood(["callboard", *node["args"]])

    assert understood(["callboard", *migrate["args"]])["check"] is False
    assert run["target"] == "service:runtime"
    grace_s = manifests["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace_s >= seconds(run["grace"]) + STUCK_S


def test_the_probes_ask_what_is_there(manifests: dict[str, Any]) -> None:
    [node] = containers(manifests["Deployment"])
    for name in ("startupProbe", "readinessProbe"):
        given = understood(node[name]["exec"]["command"])
        assert (given["ready"], given["wait"]) == (True, "0")
    [liveness] = [yaml.safe_load(text) for text in fenced("yaml")[1:]]
    shell, flag, line = liveness["livenessProbe"]["exec"]["command"]
    given = understood(shlex.split(line))

    assert (shell, flag) == ("sh", "-c")
    assert given["node"] == "$(hostname):1"
    assert float(given["timeout"]) < liveness["livenessProbe"]["timeoutSeconds"]
    assert "livenessProbe" not in node


@pytest.mark.parametrize(
    "words",
    [["callboard", "nothing"], ["callboard", "run", "a:b", "--no-such-option"], ["callboard", "cluster", "fly"]],
)
def test_a_command_that_does_not_exist_would_be_found(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"nothing|no-such-option|fly"):
        understood(words)
