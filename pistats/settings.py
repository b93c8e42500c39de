"""Every setting, with its unit, its default and the reason for it.

Order, later wins: the defaults below < `pistats.toml` (in the data directory, else in the working directory)
< `PISTATS_*` in the environment (`PISTATS_STREAM__PARTITIONS=8`) < flags of the command line.

Entry points build one `Settings` and hand it down; nothing reads the environment later.
"""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

BUCKETS = 64
"""Hash buckets of visitors. Fixed for ever: partitions and Parquet files are groups of whole buckets."""


GROUP_NAME = r"^[a-z][a-z0-9-]{0,29}$"
"""Of a consumer group: it is part of a database's name and of a folder's."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HttpSettings(Section):
    """The ingest and query endpoint (Ray Serve behind its own HAProxy)."""

    host: str = Field("127.0.0.1", description="Address to listen on; `0.0.0.0` to be reached without a front proxy.")
    port: int = Field(8000, ge=1, le=65535, description="TCP port of the HTTP endpoint.")
    replicas: int = Field(1, ge=1, description="Ingest replicas. One replica is one process: one core at most.")
    cors_max_age_s: int = Field(86_400, ge=0, description="How long a browser may remember a preflight answer.")


class MongoSettings(Section):
    """MongoDB: a replica set, because transactions and change streams need one."""

    uri: str | None = Field(None, description="Use this MongoDB. Unset: `MONGODB_URI`, then a mongod of our own.")
    port: int | None = Field(
        None, description="Port of our own mongod, loopback only. Unset: a free one, remembered in the data directory."
    )
    cache_mb: int = Field(
        512, ge=256, description="WiredTiger cache of our own mongod in MiB: half a gigabyte leaves room on 8 GB."
    )
    database_prefix: str = Field(
        "pistats",
        pattern=r"^[a-zA-Z0-9_-]{1,20}$",
        description="`PREFIX` holds sites and groups, `PREFIX_GROUP` one consumer group.",
    )


class StreamSettings(Section):
    """The partitioned log that holds every acknowledged event."""

    log: Literal["file", "mongo"] = Field(
        "file", description="`file`: local disk, fdatasync. `mongo`: majority writes."
    )
    partitions: int = Field(
        2, ge=1, le=BUCKETS, description="Partitions at first start, one process each: one per core of a small machine."
    )
    dedupe_window_s: int = Field(
        86_400, ge=60, description="How long an event id is remembered: trackers retry from a queue for up to a day."
    )
    dedupe_max_ids: int = Field(
        20_000_000,
        ge=100_000,
        description="Event ids remembered per partition, 14 bytes each: a flood shortens the window, not the memory.",
    )
    log_retention_s: int = Field(259_200, ge=60, description="How long records stay replayable: three days.")
    log_retention_bytes: int = Field(
        20_000_000_000,
        ge=1_000_000,
        description="Upper bound on disk per partition in bytes; the oldest segments go first, with their ids.",
    )
    trim_unconsumed: bool = Field(
        False, description="Let the retention remove records that a consumer group has not consumed yet. They are lost."
    )
    segment_bytes: int = Field(
        64_000_000, ge=4_096, description="Size at which a log segment is sealed, in bytes: the unit of trimming."
    )
    disk_high_water: float = Field(
        0.95, gt=0, le=1, description="Share of the disk in use above which appends are refused with 503."
    )
    max_pending_bytes: int = Field(
        32_000_000, ge=1_000_000, description="Bytes a partition holds that are not yet durable before it says 503."
    )
    max_frame_bytes: int = Field(
        4_000_000, ge=600_000, description="Uncompressed bytes of one group commit; larger groups are split."
    )


class IngestSettings(Section):
    """Bounds on what a client may send, and the queue between requests and the stream."""

    max_request_bytes: int = Field(500_000, ge=1_000, description="Body after decompression, in bytes.")
    max_event_bytes: int = Field(32_000, ge=1_000, description="One event as sent, in bytes.")
    max_request_events: int = Field(1_000, ge=1, description="Events in one request.")
    max_pending_bytes: int = Field(
        16_000_000, ge=1_000_000, description="Bytes per partition waiting in an ingest replica before it says 429."
    )
    max_pending_requests: int = Field(
        4_000,
        ge=1,
        description="Requests waiting in an ingest replica before it says 429: above, waiting beats answering.",
    )
    max_wait_s: float = Field(
        5.0,
        gt=0,
        description="How long one write may take before more requests are refused: a restart takes 1 to 3 s.",
    )
    batch_bytes: int = Field(1_000_000, ge=10_000, description="Most bytes of one append call.")
    append_timeout_s: float = Field(
        30.0, gt=0, description="How long a batch is retried across a partition's restart: a restart takes 1 to 15 s."
    )
    site_refresh_s: float = Field(2.0, gt=0, description="How stale a site's keys and settings may be at ingest.")
    trusted_proxies: tuple[str, ...] = Field(
        ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
        description="Networks whose X-Forwarded-For is believed: loopback and private ones, where Serve's HAProxy is.",
    )


class ConsumerSettings(Section):
    """The pool that enriches and aggregates."""

    group: str = Field(
        "live",
        pattern=GROUP_NAME,
        description="Consumer group of the first start; the readers show it until another is promoted.",
    )
    start_position: str = Field(
        "trim-horizon",
        description="Where a group that has consumed nothing begins: `trim-horizon`, `latest`, `time:ISO`, `offset:N`.",
    )
    min_consumers: int = Field(
        1, ge=1, description="Consumer processes of a group at rest: one is enough for the seed's load."
    )
    max_consumers: int = Field(
        2,
        ge=1,
        description="Consumer processes of a group that falls behind: one per core of a small machine. Never more than "
        "there are partitions.",
    )
    shrink_after_s: float = Field(
        120.0, gt=0, description="How long a group has to keep up before it gives back a consumer: peaks come in rows."
    )
    flush_interval_s: float = Field(
        0.5,
        gt=0,
        description='How long records are gathered for a commit: half of "live". Longer when commits are slow.',
    )
    max_flush_interval_s: float = Field(
        2.0, gt=0, description="The longest that records are gathered under load: fewer, larger commits cost less."
    )
    max_batch_events: int = Field(5_000, ge=1, description="Events of one commit and partition.")
    lease_s: float = Field(
        10.0, ge=1, description="A partition's lease: a dead consumer's work is taken over after it."
    )
    late_minutes: int = Field(10, ge=1, description="Minutes of open buckets kept in memory; later events load theirs.")
    step_timeout_s: float = Field(
        10.0,
        gt=0,
        description="How much processor time 500 events may take in one step, or how long it may stand still, before "
        "the process is started again: 10 to 50 ms is usual. An event that does so three times becomes a dead letter. "
        "Time without a processor doesn't count.",
    )
    visitors_in_memory: int = Field(
        20_000,
        ge=0,
        description="Visitors that a partition's consumer remembers between commits, about 1 KB each; others are read "
        "again when they come back.",
    )
    pause_before_retry_s: float = Field(0.5, gt=0, description="Wait after a failed flush before the next attempt.")


class LiveSettings(Section):
    """The live read model in MongoDB."""

    keep_s: int = Field(
        8 * 86_400,
        ge=3_600,
        description='How long live minute buckets stay: a week and a day, for "same hour a week ago".',
    )
    max_keys: int = Field(
        200,
        ge=10,
        le=500,
        description="Distinct values per dimension, minute and partition; the rest counts as `(other)`. "
        "200 keep a busy minute's document below 200 KB.",
    )
    feed_events: int = Field(20, ge=1, le=200, description="Recent events kept per site and partition for the feed.")
    updates_per_s: float = Field(5.0, gt=0, le=60, description="Most pushes a second to each open live page.")


class WarehouseSettings(Section):
    """Every event as Parquet files, and those that wait for them in the outbox."""

    root: str | None = Field(
        None, description="Folder of the files, or `s3://BUCKET/PREFIX`. Unset: `warehouse` in the data directory."
    )
    cache_bytes: int = Field(
        128_000_000,
        ge=1_000_000,
        description="Decoded chunks that a reading process keeps in memory: five minutes at 500 events/s.",
    )
    archive_unit_events: int = Field(
        125_000,
        ge=1_000,
        description="Events that the archive moves in one transaction. Two units are in memory, some 2 KB an event.",
    )
    file_grace_s: float = Field(
        900.0, ge=60, description="How long a file stays after compaction replaced it: longer than any query takes."
    )
    max_waiting_events: int = Field(
        1_000_000,
        ge=1_000,
        description="Events of chunks that one query may hold, some 700 bytes each; above, it is refused until the "
        "archive has run.",
    )


class QuerySettings(Section):
    """DuckDB for reports: what one process that answers them (query API, dashboard) may take."""

    memory_mb: int = Field(
        1_024, ge=256, description="Memory of all its queries together in MiB; what needs more goes to disk."
    )
    threads: int = Field(
        2, ge=1, description="Threads of one query. They have a lower priority than ingest, so both cores may be used."
    )
    concurrent: int = Field(2, ge=1, description="Queries that run at once: one long one lets short ones pass.")
    max_waiting: int = Field(16, ge=0, description="Queries that may wait for their turn before one more gets 429.")
    timeout_s: float = Field(
        30.0, gt=0, description="How long a query may wait and run, in seconds, before it is stopped."
    )
    niceness: int = Field(
        10,
        ge=0,
        le=19,
        description="Priority of query threads (Unix nice): ten leaves nine tenths to ingest.",
    )


class JobSettings(Section):
    """The batch jobs that run by themselves."""

    scheduled: bool = Field(True, description="Run the jobs at their times. Off: only when they are submitted.")
    archive_interval_s: int = Field(
        300,
        ge=10,
        description="Between two archive runs, and rollups of changed dates: starting a job costs some 8 s of a core.",
    )
    daily_hour: int = Field(
        2, ge=0, le=23, description="Hour (UTC) from which parity, retention and compact run, once a day: a quiet one."
    )


class DashboardSettings(Section):
    """The Streamlit dashboard."""

    host: str = Field("127.0.0.1", description="Address to listen on; `0.0.0.0` to be reached without a front proxy.")
    port: int = Field(8501, ge=1, le=65535, description="TCP port of the dashboard.")
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^/?#]+$",
        description="Where browsers reach the dashboard, such as `https://stats.example.com`: in share links, and for "
        "OIDC. Unset: the host and port above.",
    )
    sign_in_s: int = Field(7 * 86_400, ge=60, description="How long a sign-in lasts, in seconds.")
    enabled: bool = Field(True, description="Start the dashboard with `pistats up`.")


class OidcSettings(Section):
    """Sign-in to the dashboard by an OpenID Connect provider, beside the passwords. Off until all three are set."""

    server_metadata_url: str | None = Field(
        None, description="The provider's `…/.well-known/openid-configuration`. Unset: no button on the login page."
    )
    client_id: str | None = Field(None, description="What the provider calls this dashboard.")
    client_secret: str | None = Field(
        None,
        description="Shared with the provider. Its redirect address is `dashboard.public_url` + `/oauth2callback`.",
    )
    label: str = Field("single sign-on", description="Whom the button names: `Continue with …`.")
    admins: tuple[str, ...] = Field(
        (), description="E-mail addresses that may do everything; `*@example.com` means everyone there."
    )
    viewers: tuple[str, ...] = Field((), description="E-mail addresses that may look. Who is on no list stays outside.")

    @property
    def enabled(self) -> bool:
        """True when there is a provider."""
        return bool(self.server_metadata_url and self.client_id and self.client_secret)


class MetricsSettings(Section):
    """Measurements for Prometheus, which Ray exports on every node."""

    enabled: bool = Field(
        False,
        description="Measure, and let the Ray of `pistats up` export it: half as much load again of an idle machine. A "
        "cluster of your own exports by its own settings.",
    )
    port: int | None = Field(
        None, ge=1, le=65535, description="Port of `/metrics` on the machine of `pistats up`. Unset: a free one."
    )


class Settings(BaseSettings):
    """All settings. Frozen: a change needs a restart."""

    model_config = SettingsConfigDict(
        env_prefix="PISTATS_", env_nested_delimiter="__", toml_file="pistats.toml", frozen=True, extra="forbid"
    )

    data: Path = Field(Path(".pistats"), description="Everything that this system stores, and where `up` notes itself.")
    geoip_db: Path | None = Field(
        None,
        validation_alias=AliasChoices("geoip_db", "pistats_geoip_db"),
        description="An MMDB file for places, such as DB-IP's city file; `GEOIP_DB` in the environment works too. "
        "Unset: countries from the file that comes along.",
    )
    http: HttpSettings = HttpSettings()
    mongodb: MongoSettings = MongoSettings()
    stream: StreamSettings = StreamSettings()
    ingest: IngestSettings = IngestSettings()
    consumers: ConsumerSettings = ConsumerSettings()
    live: LiveSettings = LiveSettings()
    metrics: MetricsSettings = MetricsSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    query: QuerySettings = QuerySettings()
    jobs: JobSettings = JobSettings()
    dashboard: DashboardSettings = DashboardSettings()
    oidc: OidcSettings = OidcSettings()

    @model_validator(mode="after")
    def _keep_what_dedupe_needs(self) -> "Settings":
        kept_s, window_s = self.stream.log_retention_s, self.stream.dedupe_window_s
        if kept_s < window_s:
            raise ValueError(
                f"stream.log_retention_s ({kept_s}) is shorter than stream.dedupe_window_s ({window_s}): an id is "
                "remembered only while its record is kept. Raise the first or lower the second."
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags > environment > `pistats.toml` > defaults."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, _toml_files(init_settings))

    def database(self, group: str | None = None) -> str:
        """The MongoDB database of the system (no group) or of one consumer group."""
        prefix = self.mongodb.database_prefix
        return prefix if group is None else f"{prefix}_{group}"

    @property
    def warehouse_root(self) -> str:
        """Where the warehouse's files are: an absolute folder or an `s3://` address."""
        return self.warehouse.root or str((self.data / "warehouse").absolute())


def _toml_files(init_settings: PydanticBaseSettingsSource) -> list[Path]:
    """`pistats.toml` of the working directory, then of the data directory: the later one wins."""
    flags: dict[str, Any] = init_settings()
    data = Path(flags.get("data") or os.environ.get("PISTATS_DATA") or ".pistats")
    return [Path("pistats.toml"), data / "pistats.toml"]
