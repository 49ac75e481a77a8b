"""docker-compose.yml brings Prometheus and Grafana up with what is in monitoring/."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml

from app.settings import PROJECT_ROOT
from tests.monitoring_files import MONITORING
from tests.servers.composefile import read_compose_file

COMPOSE_FILE = PROJECT_ROOT / "docker-compose.yml"
SERVICES = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))["services"]


def provisioned(kind: str) -> Any:
    """The one file of Grafana's provisioning of this kind."""
    (file,) = (MONITORING / "grafana/provisioning" / kind).iterdir()
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def mounted(service: str) -> dict[PurePosixPath, str]:
    """What of this project the service sees, by where it sees it, and nobody can change from inside."""
    bound = [line.split(":") for line in SERVICES[service]["volumes"] if line.startswith("./")]
    assert all(len(parts) == 3 and parts[2] == "ro" for parts in bound), bound
    return {PurePosixPath(parts[1]): parts[0] for parts in bound}


@pytest.mark.parametrize("service", ["prometheus", "grafana"])
def test_they_are_pinned_and_only_on_loopback(service: str) -> None:
    assert re.fullmatch(r"[\w./-]+:v?\d[\d.]*", SERVICES[service]["image"])
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service]["ports"])
    assert all((PROJECT_ROOT / source).exists() for source in mounted(service).values())


def test_prometheus_reads_our_configuration_and_asks_the_api() -> None:
    configuration = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
    command = read_compose_file(COMPOSE_FILE, {"POSTGRES_PASSWORD": "x"})["prometheus"].command
    (path,) = [PurePosixPath(part.partition("=")[2]) for part in command if part.startswith("--config.file=")]

    assert mounted("prometheus")[path] == "./monitoring/prometheus.yml"
    (pattern,) = configuration["rule_files"]
    assert mounted("prometheus")[(path.parent / pattern).parent] == "./monitoring/rules"
    (job,) = configuration["scrape_configs"]
    assert job["job_name"] == "freshet"
    ((target,),) = [static["targets"] for static in job["static_configs"]]
    service, _, port = target.partition(":")
    assert port in SERVICES[service]["command"]


def test_grafana_asks_prometheus_and_loads_our_dashboards() -> None:
    (source,) = provisioned("datasources")["datasources"]
    (provider,) = provisioned("dashboards")["providers"]
    seen = mounted("grafana")

    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    service, port = re.fullmatch(r"http://(\w+):(\d+)", source["url"]).groups()  # type: ignore[union-attr]
    assert SERVICES[service]["ports"][0].endswith(f":{port}")
    assert seen[PurePosixPath("/etc/grafana/provisioning")] == "./monitoring/grafana/provisioning"
    assert seen[PurePosixPath(provider["options"]["path"])] == "./monitoring/grafana/dashboards"
    home = PurePosixPath(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (PROJECT_ROOT / seen[home.parent] / home.name).is_file()


def test_nobody_can_sign_in_to_grafana_with_a_default_password() -> None:
    environment = SERVICES["grafana"]["environment"]

    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert (environment["GF_AUTH_DISABLE_LOGIN_FORM"], environment["GF_AUTH_BASIC_ENABLED"]) == ("true", "false")
