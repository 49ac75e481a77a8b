"""A table of repair markers in memory, as several servers see it, and which may go away."""

from __future__ import annotations

import dataclasses
from datetime import datetime

from app.errors import StoreUnavailableError
from app.pushing.ports import RepairMarker


class Table:
    """What is durable, by server and push source. `down`: nobody reaches it."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], RepairMarker] = {}
        self.down = False
        self.log: list[str] = []

    def since(self, push_source: str = "events", server: str = "a") -> datetime | None:
        """From where on the server's marker covers its rows."""
        row = self.rows.get((server, push_source))
        return None if row is None else row.since


class MarkersOf:
    """Implements app.pushing.ports.RepairMarkers for one server."""

    def __init__(self, table: Table, server: str = "a") -> None:
        self._table = table
        self._server = server

    def save(self, push_source: str, since: datetime, owed: bool, now: datetime) -> None:
        self._reach("save")
        self._put(push_source, since, owed, now)

    def remove(self, push_source: str) -> None:
        self._reach("remove")
        self._table.rows.pop((self._server, push_source), None)

    def leave(self, push_source: str) -> None:
        self._reach("leave")
        key = self._server, push_source
        self._table.rows[key] = dataclasses.replace(self._table.rows[key], heartbeat=None, owed=True)

    def beat(self, now: datetime) -> set[str]:
        self._reach("beat")
        mine = {key: row for key, row in self._table.rows.items() if key[0] == self._server}
        for key, row in mine.items():
            self._table.rows[key] = dataclasses.replace(row, heartbeat=now)
        return {push_source for _, push_source in mine}

    def others(self) -> list[RepairMarker]:
        self._reach("others")
        return [row for key, row in self._table.rows.items() if key[0] != self._server]

    def take_over(self, marker: RepairMarker, since: datetime, now: datetime) -> bool:
        self._reach("take over")
        if self._table.rows.get((marker.server, marker.push_source)) != marker:
            return False
        del self._table.rows[marker.server, marker.push_source]
        self._put(marker.push_source, since, True, now)
        return True

    def _put(self, push_source: str, since: datetime, owed: bool, now: datetime) -> None:
        self._table.rows[self._server, push_source] = RepairMarker(self._server, push_source, since, owed, now)

    def _reach(self, what: str) -> None:
        if self._table.down:
            raise StoreUnavailableError("down")
        self._table.log.append(what)
