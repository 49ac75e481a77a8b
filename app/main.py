"""The application: create_app wires the parts together, here and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import structlog
from fastapi import FastAPI

from app import hot_metrics
from app.api import catalog, exports, freshness, health, historical, online, problems, push, push_sources, skew
from app.api.direct import DirectApp
from app.api.feast_wire import features, materializations, writes
from app.api.state import AppState
from app.api.threads import BoundedThreads, Probe
from app.deployment import freshness_probe, now
from app.domain import ViewSpec
from app.draining import drain_on_signals
from app.errors import FreshetError
from app.exports.destination import Destination
from app.freshness.board import FreshnessBoard, monitored
from app.freshness.monitor import SERVER, Monitor
from app.jobs.counting import keep_counted
from app.logs import configure_logs
from app.materializing.materialize import Materializer
from app.materializing.replay import Replay
from app.materializing.running import Materializations
from app.pushing.coverage import Coverage
from app.pushing.debts import Debts
from app.pushing.due import DueRows
from app.pushing.groups import PushGroups
from app.pushing.keys import IdempotentPushes
from app.pushing.push import Pusher
from app.pushing.repair import Repair
from app.pushing.takeover import Takeover
from app.pushing.writing import GroupWriter
from app.registry_catalogs import RegistryCatalogs
from app.serving.refresh import PlanBook
from app.settings import Settings
from app.skew.board import SkewBoard
from app.skew_parts import running_in, skew_monitor
from app.stores.history import FeastHistory
from app.stores.jobs import JobRecords
from app.stores.leases import StoredLeases
from app.stores.metadata import open_metadata
from app.stores.offline import FeastOfflineStore
from app.stores.online import FeastOnlineStore
from app.stores.push_keys import PushKeys
from app.stores.push_repairs import PushRepairs
from app.stores.repo import FeastRepo, open_repo
from app.stores.snapshots import StoredSnapshots
from app.stores.watermarks import StoredWatermarks
from app.threads import DaemonThreads, in_thread

_TRANSFORM_THREADS = 8
_EXPORT_THREADS = 2
_ORDER_THREADS = 4
_SECONDS_TO_ORDER = 300.0
_SECONDS_OF_GRACE = 5.0
"""What is stopped at its time says so itself; who waits for it waits a little longer."""
_SECONDS_BETWEEN_EXPIRIES = 600.0
_OBJECTS_PER_COLLECTION = 20_000
_PATIENCE_AT_THE_END = 5.0

log = structlog.get_logger(__name__)


def worker_app() -> FastAPI:
    """The application of a server process: settings from the environment, logs configured."""
    settings = Settings()
    configure_logs(settings.log_format)
    return create_app(settings)


def create_app(settings: Settings) -> FastAPI:
    """The whole service for one Feast repo. Nothing is opened before its lifespan starts."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        repo = await asyncio.to_thread(open_repo, settings)
        online_store = FeastOnlineStore(repo, settings.online_timeout)
        offline_store = FeastOfflineStore(repo, settings.offline_write_timeout)
        metadata = await asyncio.to_thread(open_metadata, settings)
        due = DueRows(online_store, now, settings.push_queue_rows)
        catalogs = RegistryCatalogs(repo, online_store, offline_store)
        plans = PlanBook(catalogs, online_store)
        await asyncio.to_thread(_first_refresh, plans, repo)
        markers, debts = PushRepairs(metadata, repo.project, str(uuid.uuid4())), Debts()
        coverage = Coverage(markers, debts, due.lowest, now)
        replay = Replay(offline_store, online_store)
        repair = Repair(debts, partial(_fed, plans), online_store.ping, replay, now, settings.max_clock_skew)
        writer = GroupWriter(online_store, offline_store, due, now, coverage)
        push_threads = BoundedThreads("push", settings.push_threads, settings.push_timeout)
        jobs = JobRecords(metadata, repo.project)
        board = FreshnessBoard(now, settings.freshness_interval)
        probe = freshness_probe(settings, repo, online_store, metadata, catalogs.feast_views)
        monitor = Monitor(
            board,
            lambda before: probe.look(monitored(plans.catalog), before),
            StoredLeases(metadata, repo.project),
            StoredSnapshots(metadata, repo.project),
            SERVER,
        )
        state = AppState(
            settings=settings,
            plans=plans,
            pusher=Pusher(writer, now, settings.max_clock_skew),
            push_groups=PushGroups(writer, push_threads.run, settings.push_queue_rows),
            push_keys=IdempotentPushes(
                PushKeys(metadata, repo.project),
                push_threads.run,
                now,
                beat=timedelta(seconds=settings.repair_interval),
                patience=timedelta(seconds=settings.push_timeout),
            ),
            watermarks=StoredWatermarks(metadata, repo.project),
            freshness=board,
            skew=SkewBoard(StoredSnapshots(metadata, repo.project), repo.project, settings.skew_interval),
            push_threads=push_threads,
            transform_threads=DaemonThreads("on-demand", _TRANSFORM_THREADS),
            materializations=Materializations(
                Materializer(
                    repo.project,
                    offline_store,
                    online_store,
                    metadata,
                    now,
                    settings.materialize_overlap,
                    catalogs.record,
                )
            ),
            history=FeastHistory(
                repo.store.config, catalogs.feast_views, settings.sync_export_timeout, repo.store.registry
            ),
            export_threads=BoundedThreads(
                "historical", _EXPORT_THREADS, settings.sync_export_timeout + _SECONDS_OF_GRACE
            ),
            jobs=jobs,
            exports=Destination.parse(settings.exports_place),
            order_threads=BoundedThreads("orders", _ORDER_THREADS, _SECONDS_TO_ORDER),
            probes=(Probe("online_store", online_store.ping), Probe("metadata_database", metadata.ping)),
            clock=now,
        )
        app.context = state
        looking = skew_monitor(
            settings,
            repo,
            metadata,
            lambda: plans.catalog,
            catalogs.feast_views,
            online_store,
            online_store,
            running_in(asyncio.get_running_loop(), settings.sync_export_timeout),
            SERVER,
            str(uuid.uuid4()),
        )
        tasks = [
            asyncio.create_task(plans.keep_fresh(settings.registry_refresh_interval)),
            asyncio.create_task(due.run()),
            asyncio.create_task(Takeover(markers, coverage, debts, settings.repair_interval).run()),
            asyncio.create_task(repair.run()),
            asyncio.create_task(offline_store.keep_compacted(settings.compaction_interval.total_seconds())),
            asyncio.create_task(state.push_keys.keep_expiring(_SECONDS_BETWEEN_EXPIRIES)),
            asyncio.create_task(hot_metrics.keep_flushed()),
            asyncio.create_task(keep_counted(jobs, metadata, repo.project)),
            asyncio.create_task(monitor.run()),
        ]
        if settings.skew_interval:
            tasks += [asyncio.create_task(looking.keep_looking()), asyncio.create_task(state.skew.keep_loaded())]
        renewing = asyncio.create_task(state.push_keys.keep_renewing())
        restore = drain_on_signals(state, settings.shutdown_delay)
        # Everything built so far lives as long as the process: the collector need never look at it again.
        gc.collect()
        gc.freeze()
        # Requests leave no cycles behind; looking for some after every 700 objects costs several percent.
        gc.set_threshold(_OBJECTS_PER_COLLECTION)
        try:
            yield
        finally:
            restore()
            gc.unfreeze()
            replay.stop()
            looking.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await state.push_groups.finish()
            # Not before: what is written still must not be taken over.
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            if waiting := len(due):
                log.warning("rows ahead of the clock are not online yet; those not kept offline are lost", rows=waiting)
            state.push_threads.close()
            await asyncio.gather(_release(coverage), monitor.close(), looking.close())
            state.transform_threads.close()
            state.export_threads.close()
            state.order_threads.close()
            await state.materializations.close()
            await online_store.close_reads()
            online_store.close()
            offline_store.close()
            metadata.close()
            repo.close()

    app = DirectApp(
        title="Freshet",
        summary="A feature server for Feast",
        description="Online features, push and the catalogue of one Feast repo.",
        version="0.1.0",
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    problems.install(app)
    for direct in (online.router, push.router, features.router, writes.router, materializations.router):
        app.include_direct_router(direct)
    for router in (
        catalog.router,
        push_sources.router,
        freshness.router,
        skew.router,
        historical.router,
        exports.router,
        health.router,
    ):
        app.include_router(router)
    return app


def _first_refresh(plans: PlanBook, repo: FeastRepo) -> None:
    try:
        plans.refresh()
    except FreshetError:
        raise
    except Exception as error:
        plans.last_error = type(error).__name__
        log.warning("registry cannot be read yet", project=repo.project, error=type(error).__name__)


def _fed(plans: PlanBook, push_source: str) -> list[ViewSpec]:
    """The views that a push source feeds, none where the registry has it no longer."""
    catalog = plans.catalog
    return [catalog.views[name] for name in catalog.push_sources.get(push_source, ())]


async def _release(coverage: Coverage) -> None:
    """Take the markers of this process back; what cannot be in time is found as that of a dead one would be."""
    try:
        await asyncio.wait_for(in_thread(coverage.release), _PATIENCE_AT_THE_END)
    except Exception:  # whatever it is, the rest must be closed all the same
        log.warning("another server will look whether every push has reached the online store")
