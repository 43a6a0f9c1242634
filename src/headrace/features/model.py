"""The program: the compiled features as data, in three forms' common tree; and the frame they are gathered in.

Nothing here imports a table engine: the scorer loads a program without Polars.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from headrace.data.model import Field
from headrace.definition.model import Aggregate, GroupTake, Task
from headrace.language.tree import Node
from headrace.language.types import Type
from headrace.runs.model import ObjectRef

TextCount = Literal["length", "words", "digits", "capitals", "punctuation"]
"""What is counted of a text: characters, runs of word characters, and the characters 0-9, A-Z and ASCII punctuation."""


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what is saved in a package."""


class ExpressionStep(Struct, tag="expression", tag_field="step", frozen=True, kw_only=True):
    """A row expression over request columns and earlier steps."""

    name: str
    type: Type
    node: Node


class LookupStep(Struct, tag="lookup", tag_field="step", frozen=True, kw_only=True):
    """The newest row (by event time, then known, then sequence) with known < t and event time >= t - max_age."""

    name: str
    source: str
    key: tuple[tuple[str, str], ...]
    """Pairs (column of the row so far, column of the source)."""
    take: tuple[tuple[str, Type], ...]
    """Columns of the source; the feature is NAME_COLUMN."""
    event_time: str | None = None
    """None: a static table, a plain key join."""
    known_after: tuple[tuple[str, int], ...] = ()
    """A row is known at the latest of these (column, delay in microseconds); a null among them means never."""
    max_age_us: int | None = None


class WindowStep(Struct, tag="window", tag_field="step", frozen=True, kw_only=True):
    """Sawtooth aggregates over values known in [floor(t - W, hop), t)."""

    name: str
    source: str
    key: tuple[tuple[str, str], ...]
    value: str | None
    """None: nothing of a row but when it became known."""
    value_type: Type
    """Of the values; integer when there is none."""
    where: Node | None = None
    """Over columns of the source: rows of which it is not true do not count."""
    event_time: str | None = None
    """What orders rows that became known at one instant, before their place in the source; for `first` and `last`."""
    known_after: tuple[tuple[str, int], ...]
    over: tuple[tuple[str, int, int], ...]
    """(as written, W, hop), the latter two in microseconds."""
    half_lives: tuple[tuple[str, int, int], ...] = ()
    """The same, of half-lives instead of widths."""
    take: tuple[Aggregate, ...]
    scale: int = 0
    """Sums are exact: a value v counts as round(v * 2**scale) and integers are added. Set when the frame is made."""


Step = ExpressionStep | LookupStep | WindowStep


class Program(Struct, frozen=True, kw_only=True):
    """Everything between a request's columns and the model's input, but for the encoder."""

    format: int = 1
    model: str
    source: str
    """The source whose rows are predicted."""
    time: str | None
    key: tuple[str, ...]
    request: tuple[Field, ...]
    derive: tuple[ExpressionStep, ...] = ()
    """Request columns that can be computed from other raw columns when a request does not carry them."""
    raw: tuple[Field, ...] = ()
    """The raw columns that `derive` reads."""
    steps: tuple[Step, ...]
    """In an order in which they can be computed."""
    outputs: tuple[Field, ...]
    """The model's inputs, in order."""


class Frame(Struct, frozen=True, kw_only=True):
    """The training table: one row a labelled example, every value as it was known at prediction time.

    Parquet columns: `_row` (UInt32 position in the accepted table), the key columns, the time column if any, `_label`
    (Boolean, Int32 class code or Float64), `_label_known` (when known), then `program.outputs`, unencoded; a key column
    that is also an output stands once, among the key. Sorted by (time, key, _row). The last `holdout_rows` rows are the
    holdout under a time split, else `_holdout` (Boolean, after `_label_known`) says which are; where the split names a
    group, `_group` (UInt64, before `_holdout`) is equal for the rows of one group; where rows repeat others and the
    split draws, `_unit` (UInt64, before `_holdout`) is equal for rows that are never parted. Where the split has a time
    of its own, `_asked` (Int64, microseconds, before `_holdout`) is it."""

    ref: ObjectRef
    program: Program
    task: Task
    classes: tuple[str, ...] = ()
    """Names of the classes, by code; binary: ("false", "true") or the two levels, the positive one last."""
    rows: int
    holdout_rows: int
    unlabelled: int
    """Rows with a null label: counted, never trained on."""
    label_too_early: int = 0
    """Rows whose label was known before the prediction was asked for: counted, never trained on."""
    repeats: int = 0
    """Rows that are another row again, exactly or nearly: what is drawn keeps them on one side."""
    repeats_held_out: int = 0
    """Time split: rows of the holdout that are a row before it again."""


class CategoryLevels(Struct, tag="category", tag_field="kind", frozen=True, kw_only=True):
    """Level → code: the place in `levels` (most frequent first, ties by name); an unseen or rare level is len(levels);
    null is NaN. Levels of whole numbers are written as text here and in the encodings below."""

    levels: tuple[str, ...]


class Numeric(Struct, tag="numeric", tag_field="kind", frozen=True, kw_only=True):
    """A number as float32; null is NaN; a boolean is 0 or 1; a magnitude beyond float32 is the largest float32."""


class Frequency(Struct, tag="frequency", tag_field="kind", frozen=True, kw_only=True):
    """Level → its share of the training rows; an unseen or rare level is 0, null has a share as well."""

    levels: tuple[str, ...]
    values: tuple[float, ...]
    missing: float


class TargetMean(Struct, tag="target", tag_field="kind", frozen=True, kw_only=True):
    """Level → the mean label of its training rows, drawn to the overall mean: (sum + smoothing · mean) / (rows +
    smoothing). Training rows themselves are encoded with values that their own labels did not make."""

    levels: tuple[str, ...]
    values: tuple[float, ...]
    other: float
    """Of rare levels together, and of unseen ones."""
    missing: float
    smoothing: float
    class_code: int | None = None
    """Multiclass: the share of this class is meant."""


class GroupStatistic(Struct, tag="group", tag_field="kind", frozen=True, kw_only=True):
    """A number beside what training rows of the same level of another input had: their mean or sample standard
    deviation, the difference to their mean, or that difference in standard deviations."""

    by: str
    """The output of the program that has the levels."""
    take: GroupTake
    levels: tuple[str, ...]
    means: tuple[float | None, ...]
    """By level, then that of rare and unseen levels, then that of null; None where nothing is known."""
    stds: tuple[float | None, ...]


class TextStatistic(Struct, tag="text", tag_field="kind", frozen=True, kw_only=True):
    """A count of characters or words of a text; null is NaN."""

    statistic: TextCount


class HashedText(Struct, tag="hashed", tag_field="kind", frozen=True, kw_only=True):
    """How many of a text's pieces (runs of so many words) fall into one bucket; null is NaN."""

    bucket: int
    buckets: int
    ngrams: tuple[int, ...]


Encoded = CategoryLevels | Numeric | Frequency | TargetMean | GroupStatistic | TextStatistic | HashedText


class EncodedColumn(Struct, frozen=True, kw_only=True):
    """One input of the model."""

    name: str
    type: Type
    """Of the program's output that it is made from."""
    encoding: Encoded
    typical: float
    """The median, or the most frequent code: what a reason compares with."""
    of: str | None = None
    """The output of the program that it is made from; None: the one of its own name."""

    @property
    def source(self) -> str:
        """The name of that output."""
        return self.name if self.of is None else self.of


class Encoder(Struct, frozen=True, kw_only=True):
    """Fitted on training rows only; part of the package; turns typed features into one float32 row."""

    format: int = 1
    columns: tuple[EncodedColumn, ...]
    takes: tuple[Field, ...] = ()
    """The outputs of the program, in order; empty: one for each of `columns`, of its name and type."""

    @property
    def inputs(self) -> tuple[Field, ...]:
        """The typed features that are encoded, in order."""
        return self.takes or tuple(Field(name=column.name, type=column.type) for column in self.columns)
