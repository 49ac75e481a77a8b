"""docker-compose.yml as data: the part of the format that ours uses; what it doesn't know, it refuses."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]
_WITHOUT_EFFECT_HERE = {"image", "build", "init", "cap_drop", "security_opt", "restart", "profiles"}
_UNDERSTOOD = {"command", "environment", "depends_on", "ports", "volumes", "healthcheck", "stop_grace_period"}
_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<bare>\w+)|\{(?P<name>\w+)(?:(?P<operator>:?[-?])(?P<word>[^${}]*))?\})"
)


class ComposeError(Exception):
    """The file can't be run as it is."""


@dataclass(frozen=True)
class Service:
    """One service, interpolated."""

    name: str
    image: str
    command: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    depends_on: dict[str, Condition] = field(default_factory=dict)
    ports: list[int] = field(default_factory=list)
    """The container's side of the published ports."""
    volumes: dict[str, str] = field(default_factory=dict)
    """Mount point -> volume."""
    healthcheck: list[str] = field(default_factory=list)
    """The argv to run inside the container."""
    stop_grace_period: float = 10.0


def read_compose_file(path: Path, variables: Mapping[str, str]) -> dict[str, Service]:
    """The services by name. `variables` are all that ${...} can refer to: neither the environment nor .env is read."""
    document = _interpolate(yaml.safe_load(path.read_text()), variables)
    return {name: _service(name, raw) for name, raw in document["services"].items()}


def _interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _interpolate(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_interpolate(item, variables) for item in value]
    if not isinstance(value, str):
        return value

    def substitute(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        name, operator, word = match["name"] or match["bare"], match["operator"] or "", match["word"]
        found = variables.get(name)
        usable = found is not None and not (operator.startswith(":") and found == "")
        if usable:
            return found or ""
        if operator.endswith("?"):
            raise ComposeError(f"{name} is required: {word}")
        return word if operator else ""

    if "${" in _VARIABLE.sub("", value):
        raise ComposeError(f"not understood: {value}")
    return _VARIABLE.sub(substitute, value)


def _service(name: str, raw: dict[str, Any]) -> Service:
    if unknown := raw.keys() - _UNDERSTOOD - _WITHOUT_EFFECT_HERE:
        raise ComposeError(f"{name}: {', '.join(sorted(unknown))} would be ignored here")
    return Service(
        name=name,
        image=raw.get("image", ""),
        command=_argv(raw.get("command", [])),
        environment=_environment(name, raw.get("environment", {})),
        depends_on=_depends_on(name, raw.get("depends_on", {})),
        ports=[int(str(port).rsplit(":", 1)[-1]) for port in raw.get("ports", [])],
        volumes={mounted: volume for volume, mounted in (str(line).split(":")[:2] for line in raw.get("volumes", []))},
        healthcheck=_healthcheck(name, raw.get("healthcheck", {})),
        stop_grace_period=_seconds(str(raw.get("stop_grace_period", "10s"))),
    )


def _argv(command: Any) -> list[str]:
    return shlex.split(command) if isinstance(command, str) else [str(part) for part in command]


def _environment(name: str, raw: Any) -> dict[str, str]:
    pairs = dict(line.split("=", 1) for line in raw) if isinstance(raw, list) else raw
    for key, value in pairs.items():
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise ComposeError(f"{name}: {key} must be a string or a number, and is {value!r}")
    return {key: str(value) for key, value in pairs.items()}


def _depends_on(name: str, raw: Any) -> dict[str, Condition]:
    if isinstance(raw, list):
        return dict.fromkeys(raw, "service_started")
    for needed, how in raw.items():
        if how.get("condition") not in get_args(Condition):
            raise ComposeError(f"{name}: depends_on {needed} has the condition {how.get('condition')!r}")
    return {needed: how["condition"] for needed, how in raw.items()}


def _healthcheck(name: str, raw: dict[str, Any]) -> list[str]:
    test = raw.get("test", [])
    match test:
        case []:
            return []
        case str():
            return ["/bin/sh", "-c", test]
        case ["CMD-SHELL", line]:
            return ["/bin/sh", "-c", str(line)]
        case ["CMD", *argv]:
            return [str(part) for part in argv]
    raise ComposeError(f"{name}: healthcheck {test!r} is not understood")


def _seconds(duration: str) -> float:
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ComposeError(f"{duration!r} is not a duration")
    return sum(float(number) * units[unit] for number, unit in parts)
