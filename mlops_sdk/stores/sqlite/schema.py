"""The tables of the database. ``docs/storage-schema.md`` says what each column means; both are a promise.

Values of metrics stand in columns without a type: SQLite would store -0.0 as 0 in a REAL column. NaN cannot be stored at
all and is NULL; a count of NaN values tells it from "none".
"""

from __future__ import annotations

APPLICATION_ID = 0x6D6C6F70
"""``mlop``"""

SCHEMA_VERSION = 3
"""`PRAGMA user_version` after the newest migration."""

META = """
CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value
) WITHOUT ROWID
"""

EXPERIMENTS = """
CREATE TABLE experiments (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_ns INTEGER NOT NULL,
    is_deleted INTEGER NOT NULL DEFAULT 0
)
"""

RUNS = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    experiment INTEGER NOT NULL REFERENCES experiments (id),
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER,
    heard_ns INTEGER NOT NULL,
    description TEXT NOT NULL,
    parent TEXT,
    user TEXT NOT NULL,
    host TEXT NOT NULL,
    entry_point TEXT NOT NULL,
    end_reason TEXT,
    is_provisional INTEGER NOT NULL DEFAULT 0,
    deleted_ns INTEGER,
    git_commit TEXT,
    git_branch TEXT,
    git_dirty INTEGER,
    owner INTEGER REFERENCES writers (id),
    attempt INTEGER NOT NULL DEFAULT 0,
    tail_points INTEGER NOT NULL DEFAULT 0,
    tail_rows INTEGER NOT NULL DEFAULT 0
)
"""

WRITERS = """
CREATE TABLE writers (
    id INTEGER PRIMARY KEY,
    writer_id TEXT NOT NULL UNIQUE,
    run_id TEXT NOT NULL,
    role TEXT NOT NULL,
    rank INTEGER,
    host TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    pid INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    chain INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    heard_ns INTEGER NOT NULL,
    end_status TEXT,
    end_reason TEXT,
    is_presumed_dead INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0
)
"""

WRITER_KEYS = """
CREATE TABLE writer_keys (
    writer INTEGER NOT NULL REFERENCES writers (id),
    key_id INTEGER NOT NULL,
    metric INTEGER NOT NULL REFERENCES metric_keys (id),
    PRIMARY KEY (writer, key_id)
) WITHOUT ROWID
"""

REWINDS = """
CREATE TABLE rewinds (
    run INTEGER NOT NULL REFERENCES runs (id),
    attempt INTEGER NOT NULL,
    from_step INTEGER NOT NULL,
    time_ns INTEGER NOT NULL,
    PRIMARY KEY (run, attempt)
) WITHOUT ROWID
"""

PARAMS = """
CREATE TABLE params (
    run INTEGER NOT NULL REFERENCES runs (id),
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    number,
    PRIMARY KEY (run, key)
) WITHOUT ROWID
"""

PARAM_HISTORY = """
CREATE TABLE param_history (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id),
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    replaced_ns INTEGER NOT NULL
)
"""

CONFIG = """
CREATE TABLE config (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    UNIQUE (run, key)
)
"""

TAGS = """
CREATE TABLE tags (
    run INTEGER NOT NULL REFERENCES runs (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, key)
) WITHOUT ROWID
"""

METRIC_KEYS = """
CREATE TABLE metric_keys (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
)
"""

METRICS = """
CREATE TABLE metrics (
    run INTEGER NOT NULL REFERENCES runs (id),
    metric INTEGER NOT NULL REFERENCES metric_keys (id),
    is_owners INTEGER NOT NULL,
    count INTEGER NOT NULL,
    nan_count INTEGER NOT NULL,
    total,
    mean,
    first, first_step INTEGER, first_time_ns INTEGER, first_writer INTEGER, first_sequence INTEGER,
    last, last_step INTEGER, last_time_ns INTEGER, last_writer INTEGER, last_sequence INTEGER,
    min, min_step INTEGER, min_time_ns INTEGER,
    max, max_step INTEGER, max_time_ns INTEGER,
    PRIMARY KEY (run, metric)
) WITHOUT ROWID
"""

DEFINITIONS = """
CREATE TABLE definitions (
    run INTEGER NOT NULL REFERENCES runs (id),
    key TEXT NOT NULL,
    mode TEXT,
    unit TEXT,
    x TEXT,
    PRIMARY KEY (run, key)
) WITHOUT ROWID
"""

TAILS = """
CREATE TABLE tails (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id),
    writer INTEGER NOT NULL REFERENCES writers (id),
    attempt INTEGER NOT NULL,
    is_merged INTEGER NOT NULL,
    n INTEGER NOT NULL,
    first_sequence INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    points BLOB NOT NULL
)
"""

CHUNKS = """
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id),
    metric INTEGER NOT NULL REFERENCES metric_keys (id),
    writer INTEGER NOT NULL REFERENCES writers (id),
    attempt INTEGER NOT NULL,
    n INTEGER NOT NULL,
    min_step INTEGER NOT NULL,
    max_step INTEGER NOT NULL,
    first_sequence INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    points BLOB NOT NULL
)
"""

ARTIFACTS = """
CREATE TABLE artifacts (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id),
    path TEXT NOT NULL,
    version INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    step INTEGER,
    metadata TEXT NOT NULL,
    time_ns INTEGER NOT NULL,
    UNIQUE (run, path, version)
)
"""

DATASETS = """
CREATE TABLE datasets (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id),
    name TEXT,
    context TEXT,
    digest TEXT,
    description TEXT NOT NULL
)
"""

ENVIRONMENT = """
CREATE TABLE environment (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id),
    key TEXT NOT NULL,
    value TEXT,
    packages TEXT REFERENCES packages (digest),
    UNIQUE (run, key)
)
"""

PACKAGES = """
CREATE TABLE packages (
    digest TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID
"""

WARNINGS = """
CREATE TABLE warnings (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id),
    cause TEXT NOT NULL,
    count INTEGER NOT NULL,
    message TEXT NOT NULL,
    UNIQUE (run, cause)
)
"""

REJECTED = """
CREATE TABLE rejected (
    id INTEGER PRIMARY KEY,
    writer INTEGER NOT NULL REFERENCES writers (id),
    sequence INTEGER NOT NULL,
    count INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    payload NOT NULL,
    reason TEXT NOT NULL
)
"""

PURGED = """
CREATE TABLE purged (
    run_id TEXT NOT NULL PRIMARY KEY,
    purged_ns INTEGER NOT NULL
) WITHOUT ROWID
"""

CHECKPOINTS = """
CREATE TABLE checkpoints (
    id INTEGER PRIMARY KEY,
    writer INTEGER NOT NULL REFERENCES writers (id),
    sequence INTEGER NOT NULL,
    chain INTEGER NOT NULL,
    is_segment_end INTEGER NOT NULL,
    records BLOB NOT NULL,
    UNIQUE (writer, sequence)
)
"""

INDEXES = (
    "CREATE INDEX runs_by_start ON runs (start_ns, run_id)",
    "CREATE INDEX runs_by_experiment ON runs (experiment, start_ns, run_id)",
    "CREATE INDEX runs_by_name ON runs (name)",
    "CREATE INDEX runs_by_parent ON runs (parent) WHERE parent IS NOT NULL",
    "CREATE INDEX runs_deleted ON runs (deleted_ns) WHERE deleted_ns IS NOT NULL",
    "CREATE INDEX writers_by_run ON writers (run_id)",
    "CREATE INDEX params_by_number ON params (key, number) WHERE number IS NOT NULL",
    "CREATE INDEX metrics_by_last ON metrics (metric, last)",
    "CREATE INDEX metrics_by_min ON metrics (metric, min)",
    "CREATE INDEX metrics_by_max ON metrics (metric, max)",
    "CREATE INDEX metrics_by_mean ON metrics (metric, mean)",
    "CREATE INDEX tails_by_run ON tails (run)",
    "CREATE INDEX chunks_by_metric ON chunks (run, metric, writer, first_sequence)",
    "CREATE INDEX artifacts_by_digest ON artifacts (sha256)",
    "CREATE INDEX datasets_by_run ON datasets (run)",
    "CREATE INDEX param_history_by_run ON param_history (run)",
    "CREATE INDEX rejected_by_writer ON rejected (writer)",
)

_TIME = "strftime('%Y-%m-%dT%H:%M:%S', {0} / 1000000000, 'unixepoch') || printf('.%03dZ', {0} / 1000000 % 1000)"

# ruff: noqa: S608 - nothing but constants is put together here

VIEWS = (
    f"""
CREATE VIEW v_runs AS
SELECT r.run_id, r.name, e.name AS experiment, r.status,
    {_TIME.format("r.start_ns")} AS start_time,
    {_TIME.format("r.end_ns")} AS end_time,
    (coalesce(r.end_ns, r.heard_ns) - r.start_ns) / 1e9 AS duration_s,
    r.end_reason, r.description, r.parent, r.user, r.host, r.entry_point, r.git_commit, r.git_branch, r.git_dirty,
    r.deleted_ns IS NOT NULL AS is_deleted
FROM runs r JOIN experiments e ON e.id = r.experiment
""",
    """
CREATE VIEW v_params AS
SELECT r.run_id, r.name AS run, e.name AS experiment, p.key AS param, p.text AS value, p.number, p.kind
FROM params p JOIN runs r ON r.id = p.run JOIN experiments e ON e.id = r.experiment
WHERE r.deleted_ns IS NULL
""",
    f"""
CREATE VIEW v_metrics AS
SELECT r.run_id, r.name AS run, e.name AS experiment, k.name AS metric,
    m.last, m.last_step, {_TIME.format("m.last_time_ns")} AS last_time,
    m.min, m.min_step, m.max, m.max_step, m.mean, m.first, m.first_step, m.count, m.nan_count
FROM metrics m JOIN metric_keys k ON k.id = m.metric JOIN runs r ON r.id = m.run
    JOIN experiments e ON e.id = r.experiment
WHERE r.deleted_ns IS NULL
""",
    """
CREATE VIEW v_tags AS
SELECT r.run_id, r.name AS run, e.name AS experiment, t.key AS tag, t.value
FROM tags t JOIN runs r ON r.id = t.run JOIN experiments e ON e.id = r.experiment
WHERE r.deleted_ns IS NULL
""",
    f"""
CREATE VIEW v_artifacts AS
SELECT r.run_id, r.name AS run, e.name AS experiment, a.path, a.version, a.size_bytes, a.media_type, a.step,
    {_TIME.format("a.time_ns")} AS time,
    'blobs/sha256/' || substr(a.sha256, 1, 2) || '/' || a.sha256 AS file
FROM artifacts a JOIN runs r ON r.id = a.run JOIN experiments e ON e.id = r.experiment
WHERE r.deleted_ns IS NULL
""",
)

_CREATE_TABLES = (
    META,
    EXPERIMENTS,
    RUNS,
    WRITERS,
    METRIC_KEYS,
    WRITER_KEYS,
    REWINDS,
    PARAMS,
    PARAM_HISTORY,
    CONFIG,
    TAGS,
    METRICS,
    DEFINITIONS,
    TAILS,
    CHUNKS,
    ARTIFACTS,
    DATASETS,
    PACKAGES,
    ENVIRONMENT,
    WARNINGS,
    REJECTED,
    PURGED,
)
CREATE = _CREATE_TABLES + INDEXES + VIEWS
UPGRADE_2 = (
    CHECKPOINTS,
    "ALTER TABLE writer_keys ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0",
    """INSERT INTO checkpoints (writer, sequence, chain, is_segment_end, records)
    SELECT id, sequence, chain, 0, x'' FROM writers WHERE sequence > 0""",
)
"""From schema 1 to 2: what tells two histories under the same numbers apart."""
UPGRADE_3 = (
    "DROP INDEX params_by_number",
    "CREATE INDEX params_by_number ON params (key, number)",
    "CREATE INDEX tags_by_key ON tags (key)",
    "CREATE INDEX definitions_by_key ON definitions (key, mode)",
    "CREATE INDEX datasets_by_context ON datasets (context)",
)
"""From schema 2 to 3: which keys there are is known without looking at the runs."""
TABLES = frozenset(statement.split()[2] for statement in (*_CREATE_TABLES, CHECKPOINTS))
OF_RUN = (
    "rewinds",
    "params",
    "param_history",
    "config",
    "tags",
    "metrics",
    "definitions",
    "tails",
    "chunks",
    "artifacts",
    "datasets",
    "environment",
    "warnings",
)
"""Tables whose column `run` says whose rows they are."""
