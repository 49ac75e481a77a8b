"""The current plans: built off the request path, swapped in one step, kept when the registry fails."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from app import metrics
from app.domain import Catalog
from app.errors import FreshetError, NotFoundError, NotServableError, StoreUnavailableError
from app.serving.plan import ServingPlan
from app.serving.planner import compile_features, compile_service
from app.serving.ports import OnlineReader
from app.threads import finish_in_thread

log = structlog.get_logger(__name__)

_ADHOC_PLANS = 256


class CatalogSource(Protocol):
    """Where catalogs come from."""

    def changed(self) -> Catalog | None:
        """The catalog if it is another than at the last call, else None. Blocks; raises what the registry raises."""


@dataclass(frozen=True)
class _Edition:
    """A catalog and the plans compiled from it; replaced as a whole, so no request mixes two."""

    catalog: Catalog
    plans: Mapping[str, ServingPlan | FreshetError]
    adhoc: OrderedDict[tuple[str, ...], ServingPlan]


class PlanBook:
    """Looks up plans by feature service or by feature list. Reads are lock-free; one task refreshes."""

    def __init__(self, source: CatalogSource, reader: OnlineReader) -> None:
        self._source = source
        self._reader = reader
        self._edition: _Edition | None = None
        # Long lists are compiled in threads.
        self._lock = threading.Lock()
        self.last_refresh: float | None = None
        """Unix time of the last successful look at the registry."""
        self.last_error: str | None = None
        """Why the last look failed, or None; never holds a connection string."""

    @property
    def catalog(self) -> Catalog:
        """The catalog in use. Raises StoreUnavailableError before the first one is loaded."""
        return self._current().catalog

    def _current(self) -> _Edition:
        """The edition in use. Whoever needs two things of it asks once: it may be another one the next time."""
        edition = self._edition
        if edition is None:
            raise StoreUnavailableError("The registry has not been read yet")
        return edition

    @property
    def loaded(self) -> bool:
        """Whether there is a catalog to serve from."""
        return self._edition is not None

    def service(self, name: str) -> ServingPlan:
        """The plan of a feature service. Raises NotFoundError, or NotServableError with the reason."""
        edition = self._current()
        plan = edition.plans.get(name)
        if plan is None:
            known = ", ".join(edition.catalog.services) or "none yet; run `freshet apply`"
            raise NotFoundError(f"There is no feature service {name}. Known: {known}")
        if isinstance(plan, FreshetError):
            # A new one each time: an exception keeps the frames of everywhere it was raised.
            raise type(plan)(plan.detail, plan.errors)
        return plan

    def look_up(self, name: str) -> tuple[ServingPlan | None, str | None]:
        """The plan of a feature service, or else why it cannot be served."""
        edition = self._edition
        plan = edition.plans.get(name) if edition else None
        if isinstance(plan, FreshetError):
            return None, plan.detail
        return plan, None

    def features(self, references: Sequence[str]) -> ServingPlan:
        """The plan of a list of feature references; the lists used last are remembered. Thread-safe."""
        edition, key = self._current(), tuple(references)
        with self._lock:
            plan = edition.adhoc.get(key)
            if plan is not None:
                edition.adhoc.move_to_end(key)
                return plan
        plan = compile_features(edition.catalog, references, self._reader)
        with self._lock:
            edition.adhoc[key] = plan
            if len(edition.adhoc) > _ADHOC_PLANS:
                edition.adhoc.popitem(last=False)
        return plan

    def refresh(self) -> bool:
        """Look at the registry and swap the plans if it has changed; tells whether it has. Blocks."""
        catalog = self._source.changed()
        self.last_refresh, self.last_error = time.time(), None
        if catalog is None:
            return False
        plans: dict[str, ServingPlan | FreshetError] = {}
        for name, service in catalog.services.items():
            try:
                plans[name] = compile_service(catalog, service, self._reader)
            except FreshetError as error:
                log.warning("feature service cannot be served", feature_service=name, reason=error.detail)
                plans[name] = error
            except Exception as error:  # one service that trips over something must not keep the others' change out
                log.exception("feature service cannot be compiled", feature_service=name)
                reason = f"Feature service {name} cannot be compiled ({type(error).__name__}); the log says more"
                plans[name] = NotServableError(reason)
        self._edition = _Edition(catalog, plans, OrderedDict())
        return True

    async def keep_fresh(self, interval: float) -> None:
        """Refresh every `interval` seconds, in a thread, until cancelled. Failures keep the last plans serving."""
        while True:
            await asyncio.sleep(interval)
            try:
                if await finish_in_thread(self.refresh):
                    log.info("plans rebuilt", feature_services=len(self.catalog.services))
            except Exception as error:
                metrics.REGISTRY_REFRESH_FAILURES.inc()
                if self.last_error is None:
                    log.warning("registry cannot be read; the last plans keep serving", error=type(error).__name__)
                self.last_error = type(error).__name__
