"""Settings: everything that can be configured, from FRESHET_* environment variables or a .env file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.durations import parse_duration

PROJECT_ROOT = Path(__file__).resolve().parent.parent
BUNDLED_REPO = PROJECT_ROOT / "feature_definitions"


def _duration(given: timedelta | str | float) -> timedelta:
    return given if isinstance(given, timedelta) else parse_duration(given)


Duration = Annotated[timedelta, BeforeValidator(_duration)]


class Settings(BaseSettings):
    """The configuration of one Freshet process; frozen, and complete once built.

    Durations are seconds unless a docstring says otherwise. docs/configuration.md lists every field; a test compares.
    """

    model_config = SettingsConfigDict(
        env_prefix="FRESHET_",
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    feature_repo: Path = BUNDLED_REPO
    """Folder of the Feast repo to serve: any folder with a feature_store.yaml."""

    feature_store_yaml: str = "feature_store.yaml"
    """Which file of that folder configures the stores; feature_store.production.yaml selects the production profile."""

    data_dir: Path | None = None
    """Folder of the embedded files: metadata database, raw events and, for the bundled repo, registry, online store and
    Parquet sources. Default: `data` inside the feature repo. The paths in your own repo's feature_store.yaml are never
    changed."""

    database_url: SecretStr | None = None
    """SQLAlchemy URL of the metadata database. Default: SQLite in the data folder."""

    auto_migrate: bool = False
    """Migrate a PostgreSQL metadata database at start. An embedded one is always migrated at start."""

    pipelines: str | None = None
    """The pipelines that `freshet compute` and `freshet backfill` run, as `module:NAME`. Default: those that come with
    the bundled repo for that repo (`ingestion.pipelines:PIPELINES`), and none for any other."""

    events_path: Path | None = None
    """Folder of the raw event Parquet files. Default: `events` in the data folder."""

    allow_anonymous: bool = False
    """Let `freshet serve` listen beyond loopback although nobody is authenticated. Until API keys exist, only for
    networks where everyone may read and write every feature."""

    registry_refresh_interval: float = Field(default=2.0, gt=0)
    """Seconds between looks at the Feast registry for changed definitions."""

    online_timeout: float = Field(default=0.1, gt=0)
    """Seconds that one round trip to the online store may take, waiting for a connection and connecting included,
    before the request is answered with 503. A request for many entities makes several."""

    online_connections: int = Field(default=32, gt=0)
    """Connections that one process keeps open to Redis, or to each node of a Redis Cluster, for reads."""

    online_waiting: int = Field(default=1000, gt=0)
    """Reads that may wait for one of these connections; more are answered with 503 at once."""

    online_write_timeout: float = Field(default=5.0, gt=0)
    """Seconds that one batch written to the online store may take."""

    offline_write_timeout: float = Field(default=4.0, gt=0)
    """Seconds that one append to the PostgreSQL offline store may take, waiting for a connection included, before it is
    given up. Where the connection is lost during a commit, finding out whether it took place may take as long again."""

    compaction_interval: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(minutes=5)
    """Time between looks for small Parquet part files that pushes have left and that can be merged (seconds, 5m or
    PT5M)."""

    max_clock_skew: Duration = timedelta(minutes=5)
    """How far in the future an event timestamp may lie (seconds, 5m or PT5M). Further ones are rejected; nearer ones
    are written online when they are due."""

    materialize_overlap: Duration = timedelta(days=2)
    """How far before its last success an incremental materialization starts, so that rows that came late are seen."""

    max_body_bytes: int = Field(default=16_777_216, gt=0)
    """Bytes that the body of a request for online features, of a push, or of a request on Feast's wire may have; longer
    ones are answered with 413."""

    max_entities: int = Field(default=10_000, gt=0)
    """Most entities in one online request; more are refused with 422."""

    max_push_rows: int = Field(default=10_000, gt=0)
    """Most rows in one push; more are refused with 422."""

    push_queue_rows: int = Field(default=100_000, gt=0)
    """Pushed rows that may wait in one process to be written; beyond that a push is answered with 429."""

    push_threads: int = Field(default=16, gt=0, le=256)
    """Pushes that are written at the same time. They have threads of their own, so that reads never wait for them."""

    push_timeout: float = Field(default=10.0, gt=0)
    """Seconds after which a push is answered with 503 although the stores have not answered; its rows may still be
    written then."""

    repair_interval: float = Field(default=3.0, gt=0)
    """Seconds between the heartbeats of a server that pushes to both stores, and between its looks at those of others;
    one that has missed five is taken for dead: what it left is brought online from the offline store, and a push with
    an Idempotency-Key that it was at is finished by the next who sends it. The same on all servers of a project."""

    freshness_interval: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=30)
    """Time between looks at how fresh the online data of all views are (seconds, 5m or PT5M). One process of a
    deployment looks; the same on all of them."""

    freshness_sample: int = Field(default=1000, gt=0, le=100_000)
    """Entities of each view that such a look samples in the online store."""

    exports_dir: str | None = None
    """Where the spines and results of exports are kept: a folder, or a URL such as s3://bucket/folder?region=eu-1, that
    all servers and workers reach. Default: `exports` in the data folder."""

    export_quota: int = Field(default=53_687_091_200, gt=0)
    """Bytes that the results of all exports may have together; beyond that an export fails until some expire."""

    max_upload_bytes: int = Field(default=1_073_741_824, gt=0)
    """Bytes that the body of an order for an export may have when it comes with a file; longer ones are answered with
    413."""

    sync_export_rows: int = Field(default=10_000, gt=0)
    """Most rows of a request for historical features, which is answered at once; more are refused with 422."""

    sync_export_timeout: float = Field(default=30.0, gt=0)
    """Seconds after which a request for historical features is answered with 503."""

    max_spine_rows: int = Field(default=10_000_000, gt=0)
    """Most rows in the spine of an export, the table of entities and moments that features are joined to; more are
    refused with 422."""

    export_memory: Annotated[int, Field(ge=268_435_456)] = 1_073_741_824
    """Bytes of memory that one export, or one point-in-time join in a notebook, may take; what does not fit is spilled
    to disk."""

    job_heartbeat: float = Field(default=1.0, gt=0, le=60)
    """Seconds between the heartbeats of a worker that runs a job, and between its looks at those of others; one that
    has missed five is taken for dead: another worker begins the job anew. The same on all workers of a project."""

    export_retention: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(days=7)
    """How long a job that has ended is remembered, and its files are kept (seconds, 26h, 7d or P7D)."""

    skew_interval: Annotated[Duration, Field(ge=timedelta(0))] = timedelta(minutes=5)
    """Time between looks for training-serving skew, in which features as served are compared with the point-in-time
    join at the same instant (seconds, 5m or PT5M); 0 for none. The same on all processes of a project."""

    skew_sample: int = Field(default=100, ge=2, le=10_000)
    """Most entities of each feature view that one such look compares."""

    consumer_window: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(days=30)
    """How long after a consumer's last read nothing that it read may be taken away (seconds, 26h, 30d or P30D)."""

    consumer_flush_interval: float = Field(default=5.0, gt=0)
    """Seconds between the moments at which a server records who has read what; one that is killed forgets the reads
    since the last one."""

    applied_by: str | None = None
    """Who applies definitions, as recorded with each `freshet apply`: a person or a pipeline. Default: the name of the
    user and of the machine."""

    shutdown_delay: float = Field(default=2.0, ge=0)
    """Seconds between SIGTERM, when /readyz starts to answer 503, and the end of accepting connections, so that a load
    balancer can take this server out first. Ctrl-C does not wait."""

    log_format: str = Field(default="console", pattern="^(console|json)$")
    """`console` for people, `json` for log collectors."""

    @property
    def repo_path(self) -> Path:
        """The feature repo as an absolute path."""
        return self.feature_repo.expanduser().resolve()

    @property
    def is_bundled_repo(self) -> bool:
        """Whether the repo is the one that comes with Freshet, whose embedded files follow FRESHET_DATA_DIR."""
        return self.repo_path == BUNDLED_REPO

    @property
    def pipelines_reference(self) -> str:
        """The pipelines in force, or an empty text for none. Those of the bundled repo make up events; they must never
        meet somebody else's view that happens to have the same name."""
        if self.pipelines is not None:
            return self.pipelines
        return "ingestion.pipelines:PIPELINES" if self.is_bundled_repo else ""

    @property
    def data_path(self) -> Path:
        """The data folder as an absolute path."""
        return (self.data_dir.expanduser() if self.data_dir else self.repo_path / "data").resolve()

    @property
    def exports_place(self) -> str:
        """Where exports are kept, as a path or a URL. It may hold secrets."""
        return self.exports_dir or str(self.data_path / "exports")

    @property
    def events_folder(self) -> Path:
        """The folder of raw events as an absolute path."""
        return self.events_path.expanduser().resolve() if self.events_path else self.data_path / "events"

    @property
    def metadata_url(self) -> str:
        """The SQLAlchemy URL of the metadata database, with its password: never log it."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_path / 'freshet.db'}"
