"""The definition as typed objects: what `headrace.toml` says once it has been read and checked.

Everything here is data. The walker in `headrace.definition.reader` makes these from TOML and names the place of every
mistake; stations take the parts they need as arguments. Durations are microseconds (`_us`).
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from headrace.language.types import Type

OnFail = Literal["fail", "quarantine", "repair", "warn"]
TableOnFail = Literal["fail", "warn"]
"""Of a rule of the whole table, which can set no single row aside."""
Monotone = Literal["increasing", "strictly_increasing", "decreasing", "strictly_decreasing"]
RepairKind = Literal["strip", "lower", "upper", "truncate", "recode", "clip", "default"]
MatchKind = Literal["exact", "text", "name", "email", "phone", "date", "number", "geo"]
OnMatch = Literal["quarantine", "merge", "warn"]
Task = Literal["binary", "multiclass", "regression"]


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=False):
    """Base of every part of the definition."""


class Known(Struct, frozen=True, kw_only=True):
    """When a value becomes known: at the instant in column `after`, plus a delay."""

    after: str
    delay_us: int = 0


class Repair(Struct, frozen=True, kw_only=True):
    """How a cell that breaks a rule of its column is mended."""

    how: RepairKind
    default: float | str | bool | None = None
    """default: what takes the cell's place; dates and timestamps as ISO 8601 text."""
    recode: tuple[tuple[str, str], ...] = ()
    """recode: pairs (text as read, text that takes its place)."""


class ColumnRule(Struct, frozen=True, kw_only=True):
    """What the contract says of one column of a source."""

    type: Type | None = None
    """Inferred and frozen in headrace.lock when left out."""
    unit: str | None = None
    """What the values are read in; kept in it too, unless `to` names another."""
    unit_column: str | None = None
    """The column that holds each row's own unit, in place of `unit`."""
    to: str | None = None
    """The unit that values are converted to: rules and everything after see this one."""
    zone: str | None = None
    """IANA zone of text times that carry no offset; UTC when left out."""
    zone_column: str | None = None
    """The column that holds each row's own zone, in place of `zone`."""
    decimal: str = "."
    """What numbers written as text have before their fraction."""
    thousands: str | None = None
    """What they may have between groups of three digits."""
    places: int | None = None
    """Decimal places of exact amounts: values become integers that count the last of them."""
    format: str | None = None
    """How text dates and times are written, when not as ISO 8601: `%d.%m.%Y`."""
    codes: tuple[tuple[str, str], ...] = ()
    """Pairs (text as read, text from here on); any other text is a misfit."""
    min: float | str | None = None
    max: float | str | None = None
    """Of numbers; of dates and timestamps as ISO 8601 text."""
    min_length: int | None = None
    max_length: int | None = None
    """In characters."""
    monotone: Monotone | None = None
    """Of the column's cells in the source's order, nulls left out."""
    not_null: bool = False
    allowed: tuple[str, ...] | None = None
    pattern: str | None = None
    """A regular expression (linear-time engine) that the whole text must match."""
    max_null: float | None = None
    """Largest share of nulls, 0 to 1: a rule of the table, so its failure never quarantines rows."""
    missing: tuple[str, ...] = ()
    """Further texts that mean null in this column."""
    known: Known | None = None
    repair: tuple[Repair, ...] = ()
    """Tried in this order on a cell that breaks a rule, until it breaks none."""
    on_fail: OnFail = "quarantine"

    @property
    def reads_text(self) -> bool:
        """Whether only the text of a value, as written, tells what it is."""
        written = self.missing or self.thousands or self.format or self.codes or self.zone_column
        return bool(written) or self.decimal != "." or self.places is not None


class Check(Struct, frozen=True, kw_only=True):
    """A named row rule: rows for which `where` is not true fail it. Null counts as not true."""

    name: str
    where: str
    repair: tuple[tuple[str, str], ...] = ()
    """Pairs (column, expression): what the column becomes in rows that fail."""
    on_fail: OnFail = "fail"


class ForeignKey(Struct, frozen=True, kw_only=True):
    """A row rule: the values of `key` are those of some accepted row of another source. Null passes."""

    name: str
    source: str
    key: tuple[tuple[str, str], ...]
    """Pairs (column of this source, column of the other)."""
    on_fail: OnFail = "fail"


class RowCount(Struct, frozen=True, kw_only=True):
    """A rule of the table: how many rows are accepted."""

    name: str
    min: int | None = None
    max: int | None = None
    on_fail: TableOnFail = "fail"


class EqualSum(Struct, frozen=True, kw_only=True):
    """A rule of the table: the sum of a column over the accepted rows is that of another source's column."""

    name: str
    column: str
    source: str
    equals: str
    """The other source's column."""
    tolerance: float | None = None
    """Largest difference allowed; None: the decimal sums are equal to the last digit."""
    on_fail: TableOnFail = "fail"


class SameDistribution(Struct, frozen=True, kw_only=True):
    """A rule of the table: columns look as they did in the last accepted snapshot before this one."""

    name: str
    columns: tuple[str, ...]
    threshold: float = 0.1
    """Smallest population stability index that matters; one that chance explains at this size never counts."""
    on_fail: TableOnFail = "fail"


class Fresh(Struct, frozen=True, kw_only=True):
    """A rule of the table: how old the newest `event_time` may be when it is checked."""

    within_us: int
    on_fail: TableOnFail = "fail"


class Join(Struct, frozen=True, kw_only=True):
    """Columns of a static table joined to this source before `derive`: `NAME_COLUMN` for each of `take`."""

    name: str
    source: str
    key: tuple[tuple[str, str], ...]
    """Pairs (column of this source, column of the other)."""
    take: tuple[str, ...]


class Rates(Struct, frozen=True, kw_only=True):
    """What currencies are worth: fixed, or by the newest row of a source at or before the row's event time."""

    base: str
    """The currency that the rates are about."""
    per_base: bool
    """Whether a rate says how much of the currency one of the base buys; else what one of the currency is worth."""
    fixed: tuple[tuple[str, float], ...] = ()
    source: str | None = None
    currency: str = "currency"
    """The column of `source` with the code."""
    rate: str | None = None
    """The column of `source` with the rate."""
    time: str = ""
    """The column of `source` with the instant from which a rate holds."""
    max_age_us: int = 7 * 86_400_000_000
    """How old a dated rate may be; an older one is none."""


SurviveRule = Literal["rank", "most_recent", "earliest", "majority", "longest", "min", "max"]


class Survive(Struct, frozen=True, kw_only=True):
    """Which of an entity's values stays."""

    rule: SurviveRule = "rank"
    by: str | None = None
    """most_recent, earliest: the entity's column with the instant; each source's own event_time when left out."""
    order: tuple[str, ...] = ()
    """rank: sources from best to worst, before those it does not name; `from` when left out."""
    null_wins: bool = False
    """Whether a null counts as a value."""


class Combine(Struct, frozen=True, kw_only=True):
    """One entity from the rows of several sources."""

    members: tuple[str, ...]
    """From best to worst."""
    key: tuple[str, ...]
    """Columns of the entity: rows that are equal in them are one."""
    how: Literal["union", "join"] = "union"
    """join: each source has one row an entity, and the columns that several have need a rule."""
    map: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    """Member → pairs (column of the entity, expression over the member's columns)."""
    survive: tuple[tuple[str, Survive], ...] = ()
    """Pairs (column, rule); `*` is the rule of every other column."""

    def rule(self, column: str) -> Survive:
        """The rule of one column."""
        rules = dict(self.survive)
        return rules.get(column) or rules.get("*") or Survive()

    def mapped(self, member: str) -> dict[str, str]:
        """Column of the entity → expression, of one member."""
        return dict(dict(self.map).get(member, ()))


SourceFormat: TypeAlias = Literal[
    "csv", "tsv", "fixed", "json", "ndjson", "parquet", "arrow", "avro", "excel", "delta", "iceberg",
    "sqlite", "postgresql", "mysql", "combined",
]  # fmt: skip
ALL_TEXT: frozenset[SourceFormat] = frozenset({"csv", "tsv", "fixed", "excel"})
"""The formats in which every cell is a text, whatever it means."""


class FixedField(Struct, frozen=True, kw_only=True):
    """One column of a fixed-width file, in characters."""

    name: str
    start: int
    """Of its first character, from 0."""
    width: int


class Match(Struct, frozen=True, kw_only=True):
    """Which rows are about one thing although no key says so, and what becomes of them."""

    compare: tuple[tuple[str, MatchKind], ...]
    """Pairs (column, kind of value)."""
    block: tuple[tuple[str, ...], ...] = ()
    """Only rows that are equal in all columns of one of these are compared; chosen from the rows when empty."""
    threshold: float = 0.9
    """Smallest probability at which two rows are one."""
    on_match: OnMatch = "quarantine"


Policy = Literal["accept", "warn", "fail"]


class SchemaPolicy(Struct, frozen=True, kw_only=True):
    """What happens when a snapshot differs from the contract or from the snapshot before it."""

    additive: Policy = "warn"
    """A column or level that was not there."""
    breaking: Policy = "fail"
    """A column that is gone, or whose values are of another type."""
    semantic: Policy = "warn"
    """Values that seem to mean something else: another unit, code list, sign, time zone, order of day and month."""


class Incremental(Struct, frozen=True, kw_only=True):
    """A source of which only what is new is read, and appended to what was read before."""

    column: str | None = None
    """Of a query: rows with this or a greater value than any before are read. None: files that were not read yet."""


class Source(Struct, frozen=True, kw_only=True):
    """Where raw rows come from, and what they promise."""

    name: str
    read: tuple[str, ...] = ()
    """Paths and globs relative to the definition, and URLs, as written: `${env:NAME}` and `${file:PATH}` are still
    references here and are resolved only when a connection is opened."""
    format: SourceFormat
    query: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Of requests to a web server; credentials in them are references."""
    max_size: int = 16 << 30
    """Bytes that a file of a web server may have."""
    version: int | None = None
    """Of a Delta table, or the id of an Iceberg table's snapshot; None: the newest."""
    separator: str | None = None
    """Between the fields of csv and tsv; a comma, or a tab, when left out."""
    sheet: str | int | None = None
    """Of an Excel workbook: a name, or a number from 1; its only sheet, or the first, when left out."""
    rows: str | None = None
    """Of a JSON document: the path to the array of rows, as `result.items`; the document itself when left out."""
    fields: tuple[FixedField, ...] = ()
    """Of a fixed-width file, by start."""
    skip: int = 0
    """Lines before the first row of a fixed-width file, or rows before the header of an Excel sheet."""
    incremental: Incremental | None = None
    """None: all rows are read whenever the source has changed."""
    missing: tuple[str, ...] = ("", "NA")
    """Texts that mean null in every column."""
    event_time: str | None = None
    known: Known | None = None
    """When a row became known; a column's own `known` comes on top."""
    unique: tuple[str, ...] = ()
    on_duplicate: Literal["quarantine", "fail"] = "quarantine"
    rename: tuple[tuple[str, str], ...] = ()
    """Pairs (name as read, name from here on)."""
    joins: tuple[Join, ...] = ()
    derive: tuple[tuple[str, str], ...] = ()
    """Pairs (new column, expression), in the order in which they can be computed."""
    columns: tuple[tuple[str, ColumnRule], ...] = ()
    checks: tuple[Check, ...] = ()
    rates: Rates | None = None
    """The definition's currencies, where a column of this source is converted by them."""
    foreign_keys: tuple[ForeignKey, ...] = ()
    row_counts: tuple[RowCount, ...] = ()
    equal_sums: tuple[EqualSum, ...] = ()
    distributions: tuple[SameDistribution, ...] = ()
    fresh: Fresh | None = None
    combine: Combine | None = None
    """Set in place of `read`: the rows are other sources'."""
    match: Match | None = None
    schema: SchemaPolicy = SchemaPolicy()

    @property
    def needs(self) -> tuple[str, ...]:
        """The other sources whose accepted tables this one is checked with, each once."""
        named = [join.source for join in self.joins]
        named += [rule.source for rule in self.foreign_keys] + [rule.source for rule in self.equal_sums]
        if self.rates is not None and self.rates.source is not None:
            named.append(self.rates.source)
        return tuple(name for name in dict.fromkeys(named) if name != self.name)

    @property
    def members(self) -> tuple[str, ...]:
        """The sources whose rows these are; empty for a source that is read."""
        return () if self.combine is None else self.combine.members

    def rule(self, column: str) -> ColumnRule:
        """The rule of one column; the empty rule when the contract does not name it."""
        return dict(self.columns).get(column, _NO_RULE)


_NO_RULE = ColumnRule()


class Lookup(Struct, frozen=True, kw_only=True):
    """The newest row of a source known before prediction time; a static table is a plain key join."""

    name: str
    source: str
    key: tuple[tuple[str, str], ...]
    """Pairs (feature or request column, column of the looked-up source)."""
    take: tuple[str, ...]
    max_age_us: int | None = None


Aggregate = Literal[
    "count",
    "sum",
    "mean",
    "min",
    "max",
    "variance",
    "stddev",
    "first",
    "last",
    "rate",
    "seconds_since",
    "n_unique",
    "median",
    "p10",
    "p90",
    "p95",
    "p99",
    "top1",
    "top2",
    "top3",
    "decayed_sum",
    "decayed_mean",
    "decayed_count",
]
WITHOUT_VALUE: Final[frozenset[Aggregate]] = frozenset({"count", "rate", "seconds_since", "decayed_count"})
"""The aggregates that look at when rows became known and at nothing else of them."""
DECAYED: Final[frozenset[Aggregate]] = frozenset({"decayed_sum", "decayed_mean", "decayed_count"})
"""The aggregates over all of the past, by half-lives instead of widths."""


class Window(Struct, frozen=True, kw_only=True):
    """Sawtooth aggregates over what was known in [floor(t - W, hop), t)."""

    name: str
    source: str
    key: tuple[tuple[str, str], ...]
    value: str | None = None
    """None: nothing of a row but when it became known."""
    where: str | None = None
    """The rows that count, all when left out: an expression over the source's columns."""
    over_us: tuple[int, ...] = ()
    over_text: tuple[str, ...] = ()
    """The same as written: "1h" names the feature `NAME_mean_1h`."""
    half_life_us: tuple[int, ...] = ()
    half_life_text: tuple[str, ...] = ()
    take: tuple[Aggregate, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of its features, in order."""
        return tuple(
            f"{self.name}_{aggregate}_{text}"
            for aggregate in self.take
            for text in (self.half_life_text if aggregate in DECAYED else self.over_text)
        )


EncodingKind = Literal["codes", "number", "frequency", "target", "cyclic", "statistics", "hashed"]
GroupTake = Literal["mean", "std", "difference", "zscore"]


class Encoding(Struct, frozen=True, kw_only=True):
    """How one input reaches the model. What it does not say is as for every input: a text by its code, a number as it
    is."""

    name: str
    """A column of the request or a feature."""
    kinds: tuple[EncodingKind, ...] = ()
    """Empty: the plain one."""
    smoothing: float = 20.0
    """target: rows of the overall mean that are added to each level's own."""
    min_rows: int = 1
    """codes, frequency, target and `group`: a level with fewer training rows counts as rare."""
    buckets: int = 64
    ngrams: tuple[int, ...] = (1,)
    """hashed: how many words each piece of text has."""
    zone: str = "UTC"
    """cyclic: whose clock and calendar."""
    group: str | None = None
    """The input whose levels the number is compared within."""
    take: tuple[GroupTake, ...] = ()


class Features(Struct, frozen=True, kw_only=True):
    """What the model sees beside the request columns."""

    expressions: tuple[tuple[str, str], ...] = ()
    lookups: tuple[Lookup, ...] = ()
    windows: tuple[Window, ...] = ()
    drop: tuple[str, ...] = ()
    """Request columns and features that feed others and are not themselves inputs of the model."""
    encodings: tuple[Encoding, ...] = ()
    auto: bool = False
    """Whether features are proposed too, and those kept that pay; so it is when a definition has no [features]."""


class Split(Struct, frozen=True, kw_only=True):
    """How rows are divided for training and for the one look at the holdout."""

    by: Literal["time", "random", "stratified", "group"] = "random"
    group: str | None = None
    """group: whose rows stay together; time: rows of a group that was learnt from are not asked about."""
    time: str | None = None
    """time: the column whose order counts; the project's time when left out."""
    embargo_us: int = 0
    """time: how long before the rows that are asked the labels of those that are learnt from have to be known."""
    holdout: float = 0.2
    folds: int = 5
    few: bool = False
    """Whether of a large table only as many of the folds are asked as say enough: where the definition names none."""
    seed: int = 0
    trust: bool = False
    """Whether rows are drawn although a leak can be shown."""
    is_open: bool = False
    """Whether the definition leaves it to the rows how they are divided."""


class Budget(Struct, frozen=True, kw_only=True):
    """What a search may spend: exactly one is set."""

    seconds: float | None = None
    trials: int | None = None
    usd: float | None = None
    """Of the machine's price while the search runs."""


class Objective(Struct, frozen=True, kw_only=True):
    """What the value that a regression answers is to be of the label."""

    kind: Literal["mean", "poisson", "quantile"] = "mean"
    """`mean` by squared errors; `poisson`: the mean of a count, by the likelihood of counts; `quantile`."""
    quantile: float | None = None
    """Of `quantile`: the share of labels that is to lie below the answer."""

    @property
    def metric(self) -> str | None:
        """What such answers are measured by; None: what the task's are.

        Examples
        --------
        >>> Objective(kind="quantile", quantile=0.975).metric
        'pinball_97.5'
        """
        if self.kind == "mean":
            return None
        return "poisson_deviance" if self.kind == "poisson" else f"pinball_{100.0 * (self.quantile or 0.5):.4g}"


class Training(Struct, frozen=True, kw_only=True):
    """How candidates are searched."""

    families: tuple[str, ...] = ()
    """Empty: those of `headrace.training.families.USUAL` whose libraries are installed."""
    search: Literal["tpe", "random", "grid", "halving"] = "tpe"
    budget: Budget = Budget(seconds=60.0)
    imbalance: tuple[str, ...] = ("none",)
    """Strategies against imbalance that are raced against doing nothing."""
    metric: str | None = None
    """None: average_precision, log_loss or rmse, by task; else what the objective is measured by."""
    objective: Objective = Objective()
    """Regression: what is learnt."""
    refit: bool = False
    """Whether the model that is packed learns from the holdout too, once that was looked at."""
    seed: int = 0
    threads: int = 2


class Costs(Struct, frozen=True, kw_only=True):
    """What wrong answers cost, in one currency."""

    currency: str = "USD"
    false_positive: float | None = None
    false_negative: float | None = None
    matrix: tuple[tuple[str, str, float], ...] = ()
    """Multiclass: (truth, predicted, cost)."""
    over: float | None = None
    under: float | None = None
    amounts: tuple[tuple[str, str], ...] = ()
    """(key, column): a cost that each row says for itself; the key is `false_positive` or such, or "truth>answer"."""
    capacity_per_day: float | None = None
    """Binary: how many rows can be acted on."""
    reject: float | None = None
    """What a row costs that is left to people."""
    volume_per_month: float | None = None
    retrain_us: int | None = None
    """How long a model is used before the next one is trained; a month when left out."""
    served: Literal["request", "batch"] = "request"
    """Whether a prediction is priced by the time that a row takes alone, or among others."""


class Selection(Struct, frozen=True, kw_only=True):
    """How the one version is chosen."""

    rule: Literal["best_metric", "least_cost", "cheapest_within"] = "best_metric"
    within: float = 0.01
    """cheapest_within: largest relative loss of the metric that a cheaper candidate may have."""
    interval: bool = False
    """cheapest_within: instead, those that the folds do not show to be worse than the best."""


class EvaluationPlan(Struct, frozen=True, kw_only=True):
    """What is asked of the holdout beside the task's metrics, and how sure each answer says it is."""

    coverage: float = 0.9
    """Share of rows whose interval or set is to hold the truth."""
    segments: tuple[str, ...] = ()
    """Inputs or key columns, by each of whose values the metrics are told."""
    fairness: tuple[str, ...] = ()
    """Inputs or key columns whose groups are to be treated alike."""
    nested: int = 0
    """Parts of the training rows without each of which the search is done again; 0: none."""


class Stores(Struct, frozen=True, kw_only=True):
    """URLs of the stores; paths are relative to the definition."""

    catalog: str = ".headrace/catalog.db"
    objects: str = ".headrace/objects"
    online: str = ".headrace/online"


class Online(Struct, frozen=True, kw_only=True):
    """How old the values of lookups and windows may be that requests read."""

    max_staleness_us: int | None = None
    """How far a prediction time may lie behind the watermark."""
    on_stale: Literal["refuse", "null"] = "refuse"


class Serving(Struct, frozen=True, kw_only=True):
    """How predictions are served."""

    host: str = "127.0.0.1"
    tls: Literal["front"] | None = None
    """Who ends it. None: nobody, so that only this machine may be listened on."""
    port: int = 8000
    workers: int = 1
    most_workers: int | None = None
    """As many as what is asked calls for, from `workers` to so many; None: always as many."""
    p99_us: int = 20_000
    """The latency that 99 of 100 answers should keep."""
    grpc_port: int | None = None
    batch: bool = False
    """Whether batches in Arrow and Parquet are answered."""
    certificate: str | None = None
    """File in PEM, relative to the project: the server's certificate; without one it speaks plain HTTP."""
    certificate_key: str | None = None
    clients: str | None = None
    """File in PEM: the authorities whose certificates clients must show."""
    hosts: tuple[str, ...] = ()
    """What else than the address a `Host` header may say."""
    sticky: tuple[str, ...] = ()
    """Request columns that keep an entity on its arm; empty: those of the key."""
    max_stale_us: int = 3_600_000_000
    """How long it goes on by the last that it knew when the object store is away."""
    drain_us: int = 0
    """How long it says that it is not ready, and still answers, before it ends."""
    log: Literal["process", "power"] = "process"
    """What logged predictions survive: the end of the process, or of the power."""
    on_full: Literal["refuse", "gap"] = "refuse"
    """What becomes of answers that cannot be logged."""


class Retry(Struct, frozen=True, kw_only=True):
    """Trying again after trouble outside; the pause doubles with each try."""

    times: int = 3
    backoff_us: int = 30_000_000
    backoff_max_us: int = 3_600_000_000


class Schedule(Struct, frozen=True, kw_only=True):
    """When the project runs by itself."""

    cron: tuple[str, ...] = ()
    zone: str = "UTC"
    when: Literal["new_files"] | None = None
    settle_us: int = 10_000_000
    """How long new files must have stood still."""
    do: Literal["run", "check"] = "run"
    catch_up: Literal["latest", "all", "none"] = "latest"
    catch_up_at_most: int = 100
    """all: older times than so many are missed."""
    retry: Retry = Retry()
    timeout_us: int | None = None


class Lineage(Struct, frozen=True, kw_only=True):
    """Who is told of runs, in the OpenLineage format."""

    openlineage: str
    """A path relative to the definition, or an http(s):// URL."""
    headers: tuple[tuple[str, str], ...] = ()
    """Of requests to the URL; credentials in them are references."""
    namespace: str = "headrace"


class Trust(Struct, frozen=True, kw_only=True):
    """Whose packages are loaded. Empty: only those signed with the user's own key."""

    signers: tuple[str, ...] = ()


class Project(Struct, frozen=True, kw_only=True):
    """What is predicted, and when."""

    name: str
    source: str
    task: Task | None = None
    key: tuple[str, ...] = ()
    """Empty: the row number."""
    time: str | None = None
    label: str | None = None
    """An expression over the source's columns; None until `headrace init` or the user names one."""
    positive: str | None = None
    """Binary text labels: the level that counts as positive."""
    request: tuple[str, ...] = ()
    """Empty: with one source and no time, every column but label and key."""


class Definition(Struct, frozen=True, kw_only=True):
    """A whole `headrace.toml`, read and checked."""

    format: Literal[1]
    project: Project
    sources: tuple[Source, ...]
    features: Features = Features()
    split: Split = Split()
    training: Training = Training()
    costs: Costs | None = None
    selection: Selection = Selection()
    evaluation: EvaluationPlan = EvaluationPlan()
    stores: Stores = Stores()
    online: Online = Online()
    serving: Serving = Serving()
    trust: Trust = Trust()
    schedule: Schedule | None = None
    lineage: Lineage | None = None

    def source(self, name: str) -> Source:
        """The source of that name (the reader has made sure that every reference resolves)."""
        return next(s for s in self.sources if s.name == name)
