"""The language of `headrace.toml`: every section and key, its kind, and what it is for.

The walker reads by these tables, `headrace schema` prints them, and a test holds `docs/reference/definition.md` to
them.
"""

from __future__ import annotations

from typing import get_args

from headrace.definition.grammar_features import FEATURES
from headrace.definition.grammar_metrics import ALL_METRICS, PINBALL
from headrace.definition.grammar_parts import (
    COLUMNS,
    DURATION,
    EXPRESSION,
    NEW_COLUMN,
    NEW_COLUMN_EXPECTED,
    ONE_OR_MORE_COLUMNS,
    SOURCE_NAME,
    named,
)
from headrace.definition.kinds import (
    COLUMN,
    IDENTIFIER,
    Bound,
    Choice,
    ColumnPairs,
    Key,
    ListOf,
    MapOf,
    MoneyAmount,
    MoneyOrColumn,
    Number,
    NumberOrWord,
    Quantity,
    Scalar,
    Section,
    Text,
    TextOrMap,
    TextOrNumber,
    TextOrTable,
    YesNo,
)
from headrace.definition.model import (
    MatchKind,
    Monotone,
    OnFail,
    OnMatch,
    Policy,
    RepairKind,
    SourceFormat,
    SurviveRule,
    TableOnFail,
    Task,
)
from headrace.definition.quantities import (
    BUDGET_PATTERN,
    SIZE_PATTERN,
    VOLUME_PATTERN,
    parse_budget,
    parse_capacity,
    parse_size,
    parse_volume,
)
from headrace.language.types import Type

PROJECT_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"

_SIZE = Quantity(
    parse_size, SIZE_PATTERN, 'a size: a number and kB, MB, GB, TB, KiB, MiB, GiB or TiB, such as "2GiB"', "2GiB"
)
_SEED = Number(minimum=0, maximum=2**32 - 1, whole=True)
_TOKENS = ListOf(Text("a text", "NA", may_be_empty=True), "texts", may_be_empty=True)
_ON_FAIL = Choice(get_args(OnFail), {"error": "fail", "drop": "quarantine", "ignore": "warn", "raise": "fail"})
_TYPE = Choice(
    tuple(Type),
    {
        **dict.fromkeys(("int", "bigint", "int64", "long"), "integer"),
        **dict.fromkeys(("double", "float64", "real", "number"), "float"),
        **dict.fromkeys(("numeric", "money", "bigdecimal"), "decimal"),
        **dict.fromkeys(("str", "text", "varchar", "utf8"), "string"),
        **dict.fromkeys(("bool", "logical"), "boolean"),
        **dict.fromkeys(("datetime", "time", "timestamptz", "instant"), "timestamp"),
        **dict.fromkeys(("enum", "factor", "categorical"), "category"),
        **dict.fromkeys(("interval", "timedelta"), "duration"),
    },
)

PROJECT = Section(
    "What is predicted, and when.",
    (
        Key(
            "name",
            Text("letters, digits, `.`, `_` and `-`, beginning with a letter or digit", "delays", PROJECT_NAME_PATTERN),
            "The model's name; the folder's when left out.",
        ),
        Key(
            "task",
            Choice(get_args(Task), {"classification": "binary", "numeric": "regression"}),
            "What kind of answer: inferred from the label when left out.",
        ),
        Key("source", SOURCE_NAME, "The source whose rows are predicted; may be left out when there is one."),
        Key("key", ONE_OR_MORE_COLUMNS, "What one row is about; the row number when left out."),
        Key("time", COLUMN, "The column that says when a prediction is asked for."),
        Key("label", EXPRESSION, "What is predicted: an expression over the source's columns."),
        Key("positive", Text("a text", "yes"), "Of two text labels, the one that counts as positive."),
        Key("request", COLUMNS, "The columns that a prediction request carries."),
    ),
)

KNOWN = Section(
    "When a value becomes known: at the instant in a column, plus a delay.",
    (
        Key("after", COLUMN, "The column with the instant.", required=True, fix='write after = "event_time_column"'),
        Key("delay", DURATION, "How long after it.", default="0s"),
    ),
)
_KNOWN = TextOrTable(COLUMN, KNOWN)

BY_COLUMN = Section(
    "What each row says for itself.",
    (
        Key(
            "column",
            COLUMN,
            "The column that holds it, row by row.",
            True,
            'write { column = "currency" }',
        ),
    ),
)

_PLAIN_REPAIRS = tuple(how for how in get_args(RepairKind) if how not in ("default", "recode"))
_REPAIRS_MEANT = {"trim": "strip", "lowercase": "lower", "uppercase": "upper"}
REPAIR = Section(
    "A repair that takes a value.",
    (
        Key("default", Scalar(), "What takes the cell's place."),
        Key("recode", MapOf(Text(may_be_empty=True), "text"), "Text as read → text that takes its place."),
    ),
)

COLUMN_RULE = Section(
    "What is promised of a column.",
    (
        Key("type", _TYPE, "Inferred, and frozen in headrace.lock, when left out."),
        Key("unit", TextOrTable(Text("a unit", "minute"), BY_COLUMN), "What the values are read in."),
        Key("to", Text("a unit", "km"), "The unit or currency to convert to."),
        Key(
            "zone",
            TextOrTable(Text("a time zone", "Europe/Paris"), BY_COLUMN),
            "IANA zone of text times without an offset.",
            default="UTC",
        ),
        Key("decimal", Choice((".", ",")), "What text numbers have before their fraction.", default="."),
        Key(
            "thousands",
            Choice((".", ",", " ", "'", "_")),
            "What text numbers may have between groups of three digits; a blank stands for no-break blanks too.",
        ),
        Key(
            "places",
            Number(0, 18, whole=True),
            "Decimal places that are counted: the column is then an exact integer of the last, 12.30 with 2 is 1230.",
        ),
        Key("format", Text("a format of dates", "%d.%m.%Y"), "How text dates and times are written; else ISO 8601."),
        Key("codes", MapOf(Text("a text", "male"), "code"), "Text as read → text from here on; others do not fit."),
        Key("min", Bound(), "Smallest value allowed: a number, a date or a time."),
        Key("max", Bound(), "Largest value allowed."),
        Key("min_length", Number(0, whole=True), "Smallest number of characters allowed."),
        Key("max_length", Number(1, whole=True), "Largest number of characters allowed."),
        Key(
            "monotone",
            Choice(get_args(Monotone), {"asc": "increasing", "desc": "decreasing", "ascending": "increasing"}),
            "How the values go on from row to row, in the source's order.",
        ),
        Key("not_null", YesNo(), "Whether every row must have a value.", default=False),
        Key("allowed", ListOf(Text(may_be_empty=True), "texts"), "The only texts allowed."),
        Key("pattern", Text("a regular expression", "[A-Z]{3}"), "What the whole text must match."),
        Key("max_null", Number(minimum=0, maximum=1), "Largest share of nulls, 0 to 1."),
        Key("missing", _TOKENS, "Further texts that mean null in this column."),
        Key("known", _KNOWN, "When a value of this column becomes known."),
        Key(
            "repair",
            ListOf(TextOrTable(Choice(_PLAIN_REPAIRS, _REPAIRS_MEANT), REPAIR), "repairs", True, unique=False),
            "How a cell that breaks a rule is mended; several are tried in order.",
        ),
        Key(
            "on_fail",
            _ON_FAIL,
            "What happens to a row that breaks a rule of this column; `repair` when there is one.",
            default="quarantine",
        ),
    ),
)

ROW_COUNT = Section(
    "How many rows are accepted.",
    (
        Key("min", Number(0, whole=True), "At least so many."),
        Key("max", Number(0, whole=True), "At most so many."),
    ),
)
_SOURCE_COLUMN = Text("the name of a source, a point and a column", "customers.id", r"^[A-Za-z][A-Za-z0-9_]*\..+$")

CHECK = Section(
    "A named rule: for rows (where, foreign_key) or for the table (rows, sum, distribution); one of these.",
    (
        Key("name", Text("a name", "plausible", IDENTIFIER), "What reports call it.", True, 'write name = "plausible"'),
        Key("where", EXPRESSION, "What must be true of every row."),
        Key("repair", MapOf(EXPRESSION, "column"), "With `where`: column → expression that mends it."),
        Key(
            "foreign_key",
            MapOf(_SOURCE_COLUMN, "column"),
            'Column → "SOURCE.COLUMN": every value is one of those; null passes.',
        ),
        Key("rows", ROW_COUNT, "How many rows must be accepted."),
        Key("sum", COLUMN, "The column whose sum is that of `equals`."),
        Key("equals", _SOURCE_COLUMN, 'With `sum`: the other column, "SOURCE.COLUMN".'),
        Key("tolerance", Number(minimum=0), "With `sum`: largest difference; none, to the last digit, when left out."),
        Key("distribution", ONE_OR_MORE_COLUMNS, "The columns that must look as in the last snapshot accepted."),
        Key(
            "threshold",
            Number(minimum=0),
            "With `distribution`: smallest population stability index that matters.",
            default=0.1,
        ),
        Key(
            "on_fail",
            _ON_FAIL,
            "What happens to a row that breaks it; rules for the table can only fail or warn.",
            default="fail",
        ),
    ),
)

FRESH = Section(
    "How old the newest event_time may be.",
    (
        Key("within", DURATION, "Its greatest age when it is checked.", True, 'write within = "2h"'),
        Key("on_fail", Choice(get_args(TableOnFail)), "What an older one does.", default="fail"),
    ),
)

JOIN = Section(
    "Columns of a static source joined before `derive`: NAME_COLUMN for each of `take`.",
    (
        Key("source", SOURCE_NAME, "The other source, which has no event_time.", True, 'write source = "airports"'),
        Key(
            "key",
            ColumnPairs(),
            "The columns that must be equal, here and there.",
            True,
            'write key = { dest = "faa" }',
        ),
        Key("take", ONE_OR_MORE_COLUMNS, "The columns to take.", True, 'write take = ["tzone"]'),
    ),
)

_SURVIVE_RULE = Choice(
    get_args(SurviveRule),
    {
        **dict.fromkeys(("first_not_null", "first", "priority", "source_rank"), "rank"),
        **dict.fromkeys(("newest", "latest", "recent", "last"), "most_recent"),
        **dict.fromkeys(("oldest", "first_seen"), "earliest"),
        **dict.fromkeys(("vote", "mode", "most_frequent"), "majority"),
        **dict.fromkeys(("minimum", "smallest", "least"), "min"),
        **dict.fromkeys(("maximum", "largest", "greatest"), "max"),
    },
)

SURVIVE = Section(
    "Which of an entity's values stays.",
    (
        Key("rule", _SURVIVE_RULE, "How it is found.", True, 'write rule = "most_recent"'),
        Key("by", COLUMN, "most_recent, earliest: the column with the instant; else each source's event_time."),
        Key("order", ListOf(SOURCE_NAME, "sources"), "rank: the sources from best to worst; else that of `from`."),
        Key("null_wins", YesNo(), "Whether a null counts as a value.", default=False),
    ),
)

FIXED_FIELD = Section(
    "One column of fixed-width files.",
    (
        Key("name", COLUMN, "What it is called.", True, 'write name = "id"'),
        Key("width", Number(minimum=1, whole=True), "Of its cells, in characters.", True, "write width = 8"),
        Key("start", Number(minimum=1, whole=True), "Its first character, from 1; where the one before ends."),
    ),
)

INCREMENTAL = Section(
    "Only new rows of a query are read.",
    (
        Key(
            "column",
            COLUMN,
            "A number or a time that new rows have greater than all before, such as a serial number.",
            True,
            'write column = "id"',
        ),
    ),
)

MATCH = Section(
    "Fuzzy duplicates: which rows are about one thing although no key says so.",
    (
        Key(
            "compare",
            MapOf(
                Choice(
                    get_args(MatchKind),
                    {
                        **dict.fromkeys(("string", "address", "street", "city"), "text"),
                        **dict.fromkeys(("person", "company", "surname"), "name"),
                        **dict.fromkeys(("equal", "id", "code"), "exact"),
                        **dict.fromkeys(("telephone", "tel"), "phone"),
                        **dict.fromkeys(("integer", "float", "numeric"), "number"),
                        **dict.fromkeys(("position", "location", "coordinates"), "geo"),
                    },
                ),
                "column",
            ),
            "Column → the kind of its values, which says how alike two of them are.",
            True,
            'write compare = { name = "name", email = "email" }',
        ),
        Key(
            "block",
            ListOf(ONE_OR_MORE_COLUMNS, "lists of columns", unique=False),
            "Compare only rows that are equal in all columns of one of these; chosen from the rows when left out.",
        ),
        Key(
            "threshold",
            Number(0.5, 1, exclusive=True),
            "The smallest probability at which two rows are one.",
            default=0.9,
        ),
        Key(
            "on_match",
            Choice(get_args(OnMatch), {"drop": "quarantine", "ignore": "warn", "report": "warn", "combine": "merge"}),
            "What happens to further rows: set aside, set aside after they filled what the first lacks, or kept.",
            default="quarantine",
        ),
    ),
)

_POLICY = Choice(get_args(Policy), {"ignore": "accept", "allow": "accept", "error": "fail", "raise": "fail"})

SCHEMA = Section(
    "What happens when a snapshot differs from the contract or from the snapshot before it.",
    (
        Key("additive", _POLICY, "A column or level that was not there before.", default="warn"),
        Key("breaking", _POLICY, "A column that is gone, or whose values are of another type.", default="fail"),
        Key(
            "semantic",
            _POLICY,
            "Values that seem to mean something else: another unit, code list, sign, zone, order of day and month.",
            default="warn",
        ),
    ),
)

SOURCE = Section(
    "Where raw rows come from, and what they promise.",
    (
        Key(
            "read",
            ListOf(Text("a path, a glob or a URL", "data/flights/*.csv"), "paths, globs or URLs", one_allowed=True),
            "Where the rows are, relative to this file.",
            fix='write read = "data/rows.csv"',
        ),
        Key(
            "from", ListOf(SOURCE_NAME, "sources"), "In place of `read`: the sources whose rows these are, best first."
        ),
        Key("key", ONE_OR_MORE_COLUMNS, "With `from`: rows that are equal in these columns are one entity."),
        Key(
            "combine",
            Choice(("union", "join"), {"stack": "union", "merge": "join", "concat": "union"}),
            "With `from`: rows are stacked, or each source has one row an entity and brings its columns.",
            default="union",
        ),
        Key(
            "map",
            MapOf(MapOf(EXPRESSION, "column", NEW_COLUMN, NEW_COLUMN_EXPECTED), "source"),
            "With `from`: source → column here → expression over its columns.",
        ),
        Key(
            "survive",
            MapOf(TextOrTable(_SURVIVE_RULE, SURVIVE), "column"),
            'With `from`: column → which value stays; "*" is every other column.',
        ),
        Key(
            "format",
            Choice(
                tuple(one for one in get_args(SourceFormat) if one != "combined"),
                {
                    "jsonl": "ndjson",
                    "postgres": "postgresql",
                    "mariadb": "mysql",
                    "xlsx": "excel",
                    "feather": "arrow",
                    "ipc": "arrow",
                },
            ),
            "What `read` leads to; told from its ending or scheme when left out.",
        ),
        Key("query", Text("an SQL query", "SELECT faa, lat FROM airports"), "The rows of a database."),
        Key(
            "headers",
            MapOf(Text("a text", "Bearer ${env:TOKEN}"), "header", r"^[A-Za-z0-9-]+$", "letters, digits and -"),
            "Of requests to a web server; credentials by reference: ${env:NAME} or ${file:PATH}.",
        ),
        Key("max_size", _SIZE, "How large a file on a web server may be.", default="16GiB"),
        Key(
            "version",
            Number(minimum=0, whole=True),
            "Of a Delta table, or the id of an Iceberg snapshot; the newest when left out.",
        ),
        Key("separator", Text("one character", ";", r"^[\x01-\x7f]$"), "Between the fields of CSV; a comma, or a tab."),
        Key("sheet", TextOrNumber("a sheet's name or number", "Products"), "Which sheet of a workbook; the first."),
        Key("rows", Text("a path of keys", "result.items"), "Where the rows of a JSON document are."),
        Key("fields", ListOf(FIXED_FIELD, "fields", unique=False), "The columns of fixed-width files."),
        Key("skip", Number(minimum=0, whole=True), "Lines of fixed-width files, or rows of a sheet, before the first."),
        Key(
            "incremental",
            TextOrTable(Choice(("files",), {"file": "files", "new_files": "files", "append": "files"}), INCREMENTAL),
            'Only what is new is read, and appended: "files" that were not read yet, or rows of a query by a column.',
        ),
        Key("missing", _TOKENS, "The texts that mean null.", default=["", "NA"]),
        Key("event_time", COLUMN, "When what a row tells happened; without it the table is static."),
        Key("known", _KNOWN, "When a row became known."),
        Key(
            "fresh",
            TextOrTable(DURATION, FRESH),
            "How old the newest event_time may be when the source is checked.",
        ),
        Key("unique", ONE_OR_MORE_COLUMNS, "The columns that tell rows apart."),
        Key(
            "on_duplicate",
            Choice(("quarantine", "fail"), {"drop": "quarantine", "error": "fail"}),
            "What happens to further rows with the same `unique`.",
            default="quarantine",
        ),
        Key("rename", MapOf(Text("a new name", "built", NEW_COLUMN), "column"), "Name as read → name from here on."),
        Key("join", named(JOIN, "join"), "Columns of static sources, joined before `derive`."),
        Key("derive", MapOf(EXPRESSION, "column", NEW_COLUMN, NEW_COLUMN_EXPECTED), "New column → expression."),
        Key("columns", MapOf(COLUMN_RULE, "column"), "The contract, column by column."),
        Key("schema", SCHEMA, SCHEMA.doc),
        Key("checks", ListOf(CHECK, "checks", unique=False, may_be_empty=True), "Named rules."),
        Key("match", MATCH, MATCH.doc),
    ),
    one_of=("read", "from"),
)

SPLIT = Section(
    "How rows are divided for training and for the one look at the holdout.",
    (
        Key(
            "by",
            Choice(("time", "random", "stratified", "group"), {"stratify": "stratified", "temporal": "time"}),
            "time when the project has a `time`; else random, unless the rows show that this flatters.",
        ),
        Key("time", COLUMN, "time: the column whose order counts; the project's time when left out."),
        Key("group", COLUMN, "group: rows with the same value stay together; time: only new values are asked about."),
        Key("embargo", DURATION, "time: how long before what is asked the labels that are learnt from are known."),
        Key("holdout", Number(0, 1, exclusive=True), "The share kept for the one look at the end.", default=0.2),
        Key(
            "folds",
            Number(2, 50, whole=True),
            "Folds of cross-validation; expanding under time. Left out: 5, of large tables fewer are asked.",
        ),
        Key("seed", _SEED, "Of whatever is random in it.", default=0),
        Key("trust", YesNo(), "random, stratified: rows are drawn also where a leak can be shown.", default=False),
    ),
)

FAMILIES = ("linear", "lightgbm", "catboost", "xgboost", "mlp", "extra_trees", "forest", "additive", "knn")
"""Names in `headrace.training.families.FAMILIES`, which a lower room cannot read; a test holds them equal."""
_FAMILY_ALIASES = {
    "lgbm": "lightgbm",
    "logistic": "linear",
    "ridge": "linear",
    "random_forest": "forest",
    "extratrees": "extra_trees",
    "xgb": "xgboost",
    "gam": "additive",
    "ebm": "additive",
}

TRAINING = Section(
    "How candidates are searched.",
    (
        Key(
            "families",
            ListOf(
                Choice(
                    FAMILIES,
                    _FAMILY_ALIASES,
                    (
                        r"onnx:[^|\0]+\.onnx|[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*",
                        'a model of your own ("my_module:MyEstimator", "onnx:model.onnx")',
                    ),
                ),
                "families",
                one_allowed=True,
            ),
            "The kinds of model tried: when left out linear, lightgbm, mlp, catboost if it is installed, and"
            " extra_trees.",
        ),
        Key(
            "search",
            Choice(("tpe", "random", "grid", "halving"), {"bayesian": "tpe", "asha": "halving"}),
            "How the next trial is chosen once every family's own settings were tried: tpe learns from what was seen; "
            "random draws; grid walks over three values of each setting; halving draws, and lets a third of the trials "
            "go on to each further fold.",
            default="tpe",
        ),
        Key(
            "budget",
            Quantity(
                parse_budget,
                BUDGET_PATTERN,
                'a duration, a number of trials, or an amount of USD, such as "120s", "60 trials" or "0.50 USD"',
                "120s",
            ),
            "What the search may spend; money is counted at the machine's price.",
            default="60s",
        ),
        Key(
            "imbalance",
            ListOf(
                Choice(
                    ("none", "weights", "oversample", "undersample", "smote", "adasyn", "balanced_ensemble"),
                    {"class_weight": "weights", "balanced": "weights", "smotenc": "smote"},
                ),
                "strategies",
                one_allowed=True,
            ),
            "Strategies against rare classes, each raced against doing nothing and kept only where it wins.",
            default=["none"],
        ),
        Key(
            "metric",
            Choice(
                ALL_METRICS,
                {"auc": "roc_auc", "pr_auc": "average_precision", "ap": "average_precision"},
                (PINBALL, 'the pinball loss of another quantile ("pinball_95")'),
            ),
            "What the search prunes by: average_precision, log_loss or rmse, by task, when left out; of a count "
            "poisson_deviance, of a quantile its pinball loss.",
        ),
        Key(
            "refit",
            YesNo(),
            "After the look at the holdout the chosen candidate learns anew from all rows; that model is packed.",
            default=False,
        ),
        Key(
            "objective",
            Choice(
                ("mean", "poisson", "quantile"),
                {"count": "poisson", "counts": "poisson", "squared_error": "mean", "regression": "mean"},
            ),
            "Of values: what is learnt. poisson: the mean of a count; quantile: what a share of labels lies below.",
            default="mean",
        ),
        Key("quantile", Number(0, 1, exclusive=True), "The share of labels that is to lie below the answer."),
        Key("seed", _SEED, "Of whatever is random in it.", default=0),
        Key("threads", Number(1, 1024, whole=True), "Threads of one fit: part of what makes it repeatable.", default=2),
    ),
)

COSTS = Section(
    "What wrong answers cost, in one currency; right ones cost nothing.",
    (
        Key("false_positive", MoneyOrColumn(), "Binary: of a negative row acted on."),
        Key("false_negative", MoneyOrColumn(), "Binary: of a positive row let pass."),
        Key(
            "matrix",
            MapOf(MoneyOrColumn(), "cost", r"^[^>]+>[^>]+$", 'truth and answer, such as "cat>dog"'),
            'Multiclass: "truth>answer" → cost.',
        ),
        Key("over", MoneyAmount(), "Regression: of a unit predicted too much."),
        Key("under", MoneyAmount(), "Regression: of a unit predicted too little."),
        Key(
            "volume",
            Quantity(
                parse_volume,
                VOLUME_PATTERN,
                'a number (k, M or G) / day, week, month or year, such as "2M / month"',
                "2M / month",
            ),
            "How many predictions are made.",
        ),
        Key(
            "capacity",
            Quantity(
                parse_capacity,
                VOLUME_PATTERN,
                'a number (k, M or G) / day, week, month or year, such as "200 / day"',
                "200 / day",
            ),
            "Binary: how many rows can be acted on.",
        ),
        Key("reject", MoneyAmount(), "Binary, multiclass: of a row that is left to people."),
        Key("retrain", DURATION, "How long a model is used before the next is trained; a month when left out."),
        Key(
            "served",
            Choice(("request", "batch")),
            "By which time a prediction is priced: of a row alone, or of one in a batch.",
            default="request",
        ),
    ),
)

SELECTION = Section(
    "How the one version is chosen.",
    (
        Key(
            "rule",
            Choice(("best_metric", "least_cost", "cheapest_within")),
            "least_cost when there are [costs], else best_metric.",
        ),
        Key(
            "within",
            NumberOrWord(Number(minimum=0, maximum=1), "interval"),
            'cheapest_within: the largest relative loss of the metric allowed, or "interval".',
            default=0.01,
        ),
    ),
)

EVALUATION = Section(
    "What is asked of the holdout beside metrics, and how sure each answer says it is.",
    (
        Key(
            "coverage",
            Number(minimum=0.5, maximum=0.99),
            "The share of rows whose interval, or set of classes, is to hold the truth.",
            default=0.9,
        ),
        Key("segments", COLUMNS, "Inputs or key columns, by each of whose values the metrics are told."),
        Key("fairness", COLUMNS, "Inputs or key columns whose groups are to be treated alike."),
        Key(
            "nested",
            Number(2, 20, whole=True),
            "Parts of the training rows: search, choice and fit are done again without each, with an equal share of "
            "the budget, and asked about it.",
        ),
    ),
)

_RATES = MapOf(Number(minimum=0, exclusive=True), "currency", r"^[A-Z]{3}$", "three capital letters, as ISO 4217 has")

CURRENCIES = Section(
    "What currencies are worth, for columns with `unit` and `to`.",
    (
        Key(
            "base",
            Text("the code of a currency", "EUR", r"^[A-Z]{3}$"),
            "The currency that the rates are about.",
            True,
            'write base = "EUR"',
        ),
        Key("per_base", TextOrMap(COLUMN, _RATES), "How much of a currency one of the base buys: codes, or a column."),
        Key("value", TextOrMap(COLUMN, _RATES), "What one of a currency is worth in the base: codes, or a column."),
        Key("source", SOURCE_NAME, "Dated rates: the source, with event_time, whose newest row holds."),
        Key("currency", COLUMN, "Its column with the code.", default="currency"),
        Key("max_age", DURATION, "How old a dated rate may be; an older one is none.", default="7d"),
    ),
)

STORES = Section(
    "Where results are kept.",
    (
        Key("catalog", Text("a path or a URL", ".headrace/catalog.db"), "SQLite file or postgresql:// URL."),
        Key("objects", Text("a path or a URL", ".headrace/objects"), "Folder or s3:// URL."),
        Key("online", Text("a path or a URL", ".headrace/online"), "Folder (LMDB) or redis:// URL."),
    ),
)

ONLINE = Section(
    "How old the values of lookups and windows may be that requests read.",
    (
        Key("max_staleness", DURATION, "How far a prediction time may lie behind the watermark; any when left out."),
        Key(
            "on_stale",
            Choice(("refuse", "null"), {"error": "refuse", "none": "null"}),
            "What becomes of a row beyond it: it is refused, or these features are null.",
            default="refuse",
        ),
    ),
)

SERVING = Section(
    "How `headrace serve` answers.",
    (
        Key(
            "host",
            Text("an address", "127.0.0.1", r"^[0-9A-Za-z.:-]+$"),
            "The address it listens on: one of this machine alone without a certificate, unless tls says else.",
            default="127.0.0.1",
        ),
        Key(
            "tls",
            Choice(("front",)),
            "Who ends TLS: a front, over a network that nobody else can reach. Then the address may be any.",
        ),
        Key("port", Number(0, 65_535, whole=True), "Its port; 0 for any that is free.", default=8000),
        Key(
            "grpc_port",
            Number(1, 65_535, whole=True),
            "A port for the Open Inference Protocol over gRPC; none when left out.",
        ),
        Key("batch", YesNo(), "Whether batches in Arrow and Parquet are answered too.", default=False),
        Key(
            "certificate",
            Text("a path", "tls/server.pem"),
            "TLS: the server's certificate and those between it and the root, in PEM. Renewed files are taken up.",
        ),
        Key("certificate_key", Text("a path", "tls/server.key"), "TLS: its key, in PEM, its owner's alone to read."),
        Key(
            "clients",
            Text("a path", "tls/clients.pem"),
            "TLS: authorities, in PEM, one of which must have signed a client's certificate; any client when left out.",
        ),
        Key(
            "workers",
            TextOrTable(
                Number(1, 256, whole=True),
                Section(
                    "The fewest and the most: as many as what is asked calls for.",
                    (
                        Key("min", Number(1, 256, whole=True), "The fewest.", default=1),
                        Key("max", Number(1, 256, whole=True), "The most; one for each core that they may use."),
                    ),
                ),
            ),
            "Processes that answer; one for each core that they may use.",
            default=1,
        ),
        Key(
            "p99",
            DURATION,
            "The latency that 99 of 100 answers should keep: what headrace bench holds the server against.",
            default="20ms",
        ),
        Key(
            "hosts",
            ListOf(Text("a name", "predict.example", r"^[0-9A-Za-z.:\[\]-]+$"), "names"),
            "What else than localhost and the address a request's Host header may say.",
        ),
        Key(
            "sticky",
            ListOf(COLUMN, "columns"),
            "Request columns that keep an entity on its arm; those of the key when left out.",
        ),
        Key(
            "max_stale",
            DURATION,
            "How long it goes on by the last that it knew of deployments and keys when the object store is away.",
            default="1h",
        ),
        Key(
            "drain",
            DURATION,
            "Told to end, how long it says that it is not ready and still takes connections.",
            default="0s",
        ),
        Key(
            "log",
            Choice(("process", "power")),
            "What a logged prediction survives before its answer leaves: the end of the process, or of the power.",
            default="process",
        ),
        Key(
            "on_full",
            Choice(("refuse", "gap"), {"error": "refuse"}),
            "What becomes of answers that cannot be logged: refused, or sent and counted.",
            default="refuse",
        ),
    ),
)

TRUST = Section(
    "Whose packages are loaded.",
    (
        Key(
            "signers",
            ListOf(
                Text("a public key", "ed25519:BASE64", r"^ed25519:[A-Za-z0-9+/]{43}=$"),
                "public keys",
                may_be_empty=True,
            ),
            "Public keys; only your own when left out.",
        ),
    ),
)

RETRY = Section(
    "Trying again after trouble outside: a server, a network, a disk. A broken contract is not tried again.",
    (
        Key("times", Number(0, 100, whole=True), "How often, after the first try.", default=3),
        Key(
            "backoff",
            DURATION,
            "The first pause; it doubles with each try, and is shortened by up to half.",
            default="30s",
        ),
        Key("backoff_max", DURATION, "The longest pause.", default="1h"),
    ),
)

SCHEDULE = Section(
    "When the project runs by itself, while `headrace schedule run` is at work.",
    (
        Key(
            "cron",
            ListOf(Text("five fields of cron", "0 5 * * *", r"^\S+( +\S+){4}$"), "times of cron", one_allowed=True),
            "Minute, hour, day of the month, month, day of the week; several may be given.",
        ),
        Key("zone", Text("a time zone", "Europe/Paris"), "The zone that `cron` is in.", default="UTC"),
        Key("when", Choice(("new_files",)), "Also when files of the sources are new or have changed."),
        Key("settle", DURATION, "new_files: how long their sizes and times must stand still.", default="10s"),
        Key("do", Choice(("run", "check")), "The whole run, or the contracts only.", default="run"),
        Key(
            "catch_up",
            Choice(("latest", "all", "none")),
            "Which of the times run that passed while nothing was at work; the others are recorded as missed.",
            default="latest",
        ),
        Key("catch_up_at_most", Number(1, 10_000, whole=True), "all: of more, the oldest are missed.", default=100),
        Key("retry", RETRY, RETRY.doc),
        Key("timeout", DURATION, "A run that takes longer is stopped, and tried again."),
    ),
)

LINEAGE = Section(
    "Who is told of runs, in the OpenLineage format.",
    (
        Key(
            "openlineage",
            Text("a path or a URL", "lineage.ndjson"),
            "A file that events are appended to, or the URL that they are posted to.",
            True,
            'write openlineage = "lineage.ndjson"',
        ),
        Key(
            "headers",
            MapOf(Text("a text", "Bearer ${env:TOKEN}"), "header", r"^[A-Za-z0-9-]+$", "letters, digits and -"),
            "Of requests to the URL; credentials by reference: ${env:NAME} or ${file:PATH}.",
        ),
        Key("namespace", Text("a text", "headrace"), "Of the jobs, and of what they make.", default="headrace"),
    ),
)

DEFINITION = Section(
    "A Headrace definition.",
    (
        Key(
            "format",
            Number(1, 1, whole=True),
            "The version of this language: 1.",
            True,
            "write format = 1 as first line",
        ),
        Key("project", PROJECT, PROJECT.doc, True, "write a section [project]"),
        Key(
            "sources",
            named(SOURCE, "source"),
            "Where raw rows come from.",
            required=True,
            fix='write a section [sources.rows] with read = "data/rows.csv"',
        ),
        Key("features", FEATURES, FEATURES.doc),
        Key("split", SPLIT, SPLIT.doc),
        Key("training", TRAINING, TRAINING.doc),
        Key("costs", COSTS, COSTS.doc),
        Key("selection", SELECTION, SELECTION.doc),
        Key("evaluation", EVALUATION, EVALUATION.doc),
        Key("currencies", CURRENCIES, CURRENCIES.doc),
        Key("stores", STORES, STORES.doc),
        Key("online", ONLINE, ONLINE.doc),
        Key("serving", SERVING, SERVING.doc),
        Key("trust", TRUST, TRUST.doc),
        Key("schedule", SCHEDULE, SCHEDULE.doc),
        Key("lineage", LINEAGE, LINEAGE.doc),
    ),
)
