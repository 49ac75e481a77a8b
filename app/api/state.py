"""What the routers share: the parts that app.main has wired together, for one application."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fastapi import Request
from starlette.types import Scope

from app.api.threads import BoundedThreads, Probe
from app.exports.destination import Destination
from app.exports.ports import OfflineHistory
from app.freshness.board import FreshnessBoard
from app.job import JobOrders
from app.materializing.running import Materializations
from app.pushing.groups import PushGroups
from app.pushing.keys import IdempotentPushes
from app.pushing.push import Pusher
from app.pushing.watermarks import Watermarks
from app.serving.refresh import PlanBook
from app.settings import Settings
from app.threads import DaemonThreads


@dataclass
class Draining:
    """Whether this process has been told to stop and should get no new traffic."""

    active: bool = False


@dataclass(frozen=True)
class AppState:
    """The parts of one application."""

    settings: Settings
    plans: PlanBook
    pusher: Pusher
    push_groups: PushGroups
    push_keys: IdempotentPushes
    watermarks: Watermarks
    freshness: FreshnessBoard
    push_threads: BoundedThreads
    transform_threads: DaemonThreads
    materializations: Materializations
    history: OfflineHistory
    export_threads: BoundedThreads
    jobs: JobOrders
    exports: Destination
    order_threads: BoundedThreads
    probes: Sequence[Probe]
    clock: Callable[[], datetime]
    draining: Draining = field(default_factory=Draining)


def state_of(request: Request) -> AppState:
    """The state of the application that serves this request (a FastAPI dependency)."""
    return state_of_scope(request.scope)


def state_of_scope(scope: Scope) -> AppState:
    """The same for an ASGI scope."""
    state: AppState = scope["app"].context
    return state
