"""The Prometheus rules through promtool: every alert firing, resolving, and with its exporter gone.

Without promtool the rules are parsed by promql-parser, and the summary of the run says so.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.monitoring_files import MONITORING, RULE_TESTS, rules, selectors

_LONG = {"forgotten.yml"}


def parsed_at_least() -> None:
    """What can be told of the rules without Prometheus."""
    for rule in [*rules("recording.yml"), *rules("alerts.yml")]:
        list(selectors(rule["expr"]))


def run(promtool: Path, *arguments: str | Path) -> str:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_configuration_and_the_rules(promtool: Path | None) -> None:
    if promtool is None:
        parsed_at_least()
        return
    said = run(promtool, "check", "config", "--lint-fatal", MONITORING / "prometheus.yml")

    checked = re.findall(r"rules/(\w+\.yml)\n  SUCCESS: (\d+) rules found", said)
    assert checked == [(file, str(len(rules(file)))) for file in ("alerts.yml", "recording.yml")], said


@pytest.mark.parametrize(
    "file",
    [pytest.param(file, id=file.stem, marks=[pytest.mark.full] * (file.name in _LONG)) for file in RULE_TESTS],
)
def test_alerts_fire_and_resolve(promtool: Path | None, file: Path) -> None:
    if promtool is None:
        parsed_at_least()
        return
    assert "SUCCESS" in run(promtool, "test", "rules", file)
