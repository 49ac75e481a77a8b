"""A Prometheus of our own, with the configuration and the rules that a test gives it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2 as httpx

from tests.servers.binaries import PrometheusBinaries, find_prometheus
from tests.servers.errors import ServerError
from tests.servers.local import LocalServer
from tests.servers.process import GuardedProcess


class PrometheusServer(LocalServer):
    """`with PrometheusServer({"prometheus.yml": ..., "rules/alerts.yml": ...}) as server: ...`. It forgets all when it
    ends. `files`: texts by their path beside prometheus.yml."""

    name = "prometheus"

    def __init__(self, files: Mapping[str, str], binaries: PrometheusBinaries | None = None) -> None:
        super().__init__()
        self.binaries = binaries or find_prometheus()
        self._files = dict(files)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def write(self, name: str, text: str) -> None:
        """Replace one of the files at once, as service discovery does."""
        if self.workspace is None:
            raise ServerError("the server is used outside of its with block")
        beside = self.workspace / f"{name}.new"
        beside.write_text(text, encoding="utf-8")
        beside.chmod(0o644)
        beside.replace(self.workspace / name)

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The series of an instant query, as {metric: labels, value: [time, text]}."""
        return list(self._get("query", query=expr)["result"])

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The series of a range query, as {metric: labels, values: [[time, text]]}. Times in seconds since 1970."""
        parameters = {"query": expr, "start": str(start), "end": str(end), "step": str(step)}
        return list(self._get("query_range", **parameters)["result"])

    def label_values(self, selector: str, label: str) -> set[str]:
        """The values that a label has in the series of a selector."""
        found: Any = self._get(f"label/{label}/values", **{"match[]": selector})
        return set(found)

    def alerts(self, state: str = "firing") -> list[dict[str, str]]:
        """The labels of the alerts in a state."""
        return [alert["labels"] for alert in self._get("alerts")["alerts"] if alert["state"] == state]

    def faulty_rules(self) -> dict[str, str]:
        """The last errors of rules that could not be evaluated, by the rules' names."""
        groups = self._get("rules")["groups"]
        return {rule["name"]: rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")}

    def _get(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30)
        body = answer.json()
        if body["status"] != "success":
            raise ServerError(f"Prometheus refuses {path} {parameters}: {body.get('error')}")
        return body["data"]

    def _prepare(self, workspace: Path) -> None:
        for name, text in self._files.items():
            path = workspace / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (workspace / "data").mkdir()
        if self.account:
            for path in (workspace, *workspace.rglob("*")):
                os.chown(path, self.account.uid, self.account.gid)

    def _spawn(self) -> GuardedProcess:
        if self.workspace is None:
            raise ServerError("the server is used outside of its with block")
        return GuardedProcess(
            [
                self.binaries.prometheus,
                f"--config.file={self.workspace / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.workspace / 'data'}",
                f"--web.listen-address={self.host}:{self.port}",
            ],
            log=self.workspace / "server.log",
            environment={"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin", "HOME": str(self.workspace)},
            directory=self.workspace,
            account=self.account,
            remove=[self.workspace],
        )

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=1).status_code == 200 and self.process.running
        except httpx.TransportError:
            # Not there yet.
            return False

    def _discard(self, workspace: Path) -> None:
        pass  # Prometheus leaves nothing outside of its folder.
