"""Families of features, in a fixed order, from what is seen of the request's columns and said of their source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import msgspec

from headrace.definition.model import Definition, Encoding, EncodingKind, Features, Window
from headrace.features.automatic.model import Family, InputLook, Looks
from headrace.features.encodings.plan import plain_kind
from headrace.features.known import SourceColumns
from headrace.language.parse import references
from headrace.language.types import Type
from headrace.language.zones import zone_names

WIDE: Final = 20
"""Levels from which on a category's own code says little of each."""
FEWEST_ROWS_A_LEVEL: Final = 3
"""A key of fewer rows on the mean has no past to speak of."""
SKEWED: Final = 5.0
"""How many times farther the 99th percentile is from the median than the 1st."""
MOST_PAIRS: Final = 6
MOST_KEYS: Final = 6
MOST_VALUES: Final = 2
_TEXT: Final = (Type.STRING, Type.CATEGORY)
_NUMBERS: Final = (Type.INTEGER, Type.DECIMAL, Type.FLOAT)
_HOUR_US: Final = 3_600_000_000
_OVER: Final = (("6h", 6 * _HOUR_US), ("1d", 24 * _HOUR_US), ("7d", 168 * _HOUR_US))


def propose(definition: Definition, columns: SourceColumns, looks: Looks) -> tuple[Family, ...]:
    """The families, in the order in which they are tried.

    Parameters
    ----------
    columns : of the source whose rows are predicted
    looks : of the request's columns
    """
    return tuple(family for family in _Proposer(definition, columns, looks.inputs).families() if _adds(family))


def with_families(features: Features, families: Sequence[Family]) -> Features:
    """The features with those of the families; what several say of one input is said together."""
    encodings = {encoding.name: encoding for encoding in features.encodings}
    for family in families:
        for new in family.adds.encodings:
            old = encodings.get(new.name)
            kinds = new.kinds if old is None else tuple(dict.fromkeys([*old.kinds, *new.kinds]))
            encodings[new.name] = msgspec.structs.replace(new, kinds=kinds)
    return msgspec.structs.replace(
        features,
        expressions=features.expressions + tuple(each for family in families for each in family.adds.expressions),
        windows=features.windows + tuple(each for family in families for each in family.adds.windows),
        encodings=tuple(encodings.values()),
    )


def _adds(family: Family) -> bool:
    return bool(family.adds.expressions or family.adds.windows or family.adds.encodings)


@dataclass(frozen=True, slots=True)
class _Proposer:
    definition: Definition
    columns: SourceColumns
    looks: tuple[InputLook, ...]

    def families(self) -> Iterator[Family]:
        for look in self.looks:
            if look.type in (Type.TIMESTAMP, Type.DATE):
                yield self._parts(look)
                yield self._circles(look)
        yield from self._same_units()
        yield self._logs()
        wide = [look for look in self._free(_TEXT) if WIDE <= look.distinct <= look.rows / FEWEST_ROWS_A_LEVEL]
        yield self._encoded("frequencies of wide categories", wide, "frequency")
        yield self._encoded("target means of wide categories", wide, "target")
        whole = [look for look in self._free((Type.INTEGER,)) if WIDE <= look.distinct <= look.rows / WIDE]
        yield self._encoded("target means of whole numbers", whole, "target")
        yield from self._pasts()

    def _free(self, types: Sequence[Type]) -> list[InputLook]:
        """Columns of these types that are inputs, and of whose encoding the user says nothing."""
        features = self.definition.features
        said = {encoding.name for encoding in features.encodings} | set(features.drop)
        return [look for look in self.looks if look.type in types and look.name not in said]

    def _expressions(self, texts: dict[str, str]) -> Features:
        """Expressions whose names are not taken."""
        taken = {*self.columns.types, *(look.name for look in self.looks), *dict(self.definition.features.expressions)}
        return Features(expressions=tuple((name, text) for name, text in texts.items() if name not in taken))

    def _parts(self, look: InputLook) -> Family:
        at, name = f"{_quoted(look.name)}{self._zone_argument(look)}", _safe(look.name)
        texts = {f"{name}_weekday": f"weekday({at})", f"{name}_yearday": f"day_of_year({at})"}
        if look.type is Type.TIMESTAMP:
            texts = {f"{name}_clock": f"hour({at}) * 60 + minute({at})", **texts}
        return Family(
            name=f"parts of {look.name}",
            why=f"{look.name} is a {look.type}: its clock, weekday and season may matter",
            adds=self._expressions(texts),
        )

    def _circles(self, look: InputLook) -> Family:
        said = {encoding.name for encoding in self.definition.features.encodings}
        circles = Encoding(name=look.name, kinds=("cyclic",), zone=self._zone(look.name))
        return Family(
            name=f"circles of {look.name}",
            why=f"midnight is beside midnight, and December beside January, in {look.name}",
            adds=Features(encodings=() if look.name in said else (circles,)),
        )

    def _same_units(self) -> Iterator[Family]:
        units: dict[str, list[str]] = {}
        for look in self.looks:
            rule = self.columns.source.rule(look.name)
            unit = rule.to or rule.unit
            if look.type in _NUMBERS and unit is not None:
                units.setdefault(unit, []).append(look.name)
        for unit, names in units.items():
            texts = {}
            for one, other in list(combinations(names, 2))[:MOST_PAIRS]:
                texts[f"{_safe(one)}_less_{_safe(other)}"] = f"{_quoted(one)} - {_quoted(other)}"
                texts[f"{_safe(one)}_per_{_safe(other)}"] = f"{_quoted(one)} / {_quoted(other)}"
            if texts:
                yield Family(
                    name=f"numbers in {unit}",
                    why=f"{', '.join(names)} are all in {unit}: differences and ratios have a meaning",
                    adds=self._expressions(texts),
                )

    def _logs(self) -> Family:
        skewed = [look.name for look in self.looks if _is_skewed(look)]
        return Family(
            name="logarithms",
            why=f"{', '.join(skewed)}: not below zero, with a long tail",
            adds=self._expressions({f"{_safe(name)}_log": f"ln({_quoted(name)} + 1)" for name in skewed}),
        )

    def _encoded(self, name: str, looks: Sequence[InputLook], kind: EncodingKind) -> Family:
        said = ", ".join(f"{look.name} ({look.distinct:,})" for look in looks)
        return Family(
            name=name,
            why=f"many levels: {said}",
            adds=Features(
                encodings=tuple(Encoding(name=look.name, kinds=(plain_kind(look.type), kind)) for look in looks)
            ),
        )

    def _pasts(self) -> Iterator[Family]:
        """Windows over the source's own past, a family a key."""
        source, time = self.columns.source, self.definition.project.time
        values = self._values()
        if source.event_time is None or time is None or not values:
            return
        keys = [
            look.name
            for look in self.looks
            if look.type in (*_TEXT, Type.INTEGER)
            and look.distinct > 1
            and look.rows >= FEWEST_ROWS_A_LEVEL * look.distinct
        ]
        for key in keys[:MOST_KEYS]:
            windows = tuple(
                Window(
                    name=f"past_{_safe(key)}_{_safe(value)}",
                    source=source.name,
                    key=((key, key),),
                    value=value,
                    over_us=tuple(us for _, us in _OVER),
                    over_text=tuple(text for text, _ in _OVER),
                    take=("mean", "count"),
                )
                for value in values
            )
            yield Family(
                name=f"past of {key}",
                why=f"what was known of {', '.join(values)} of the same {key} before",
                adds=Features(windows=windows),
            )

    def _values(self) -> list[str]:
        """Numbers that become known later: the label's own first."""
        columns, project = self.columns, self.definition.project
        label = references(project.label) if project.label is not None else frozenset()
        carried = {look.name for look in self.looks} | set(project.key)
        late = [
            name
            for name, type_ in columns.types.items()
            if type_ in (*_NUMBERS, Type.BOOLEAN) and name not in carried and columns.known([name])
        ]
        # after the label's: what has a unit is measured, other numbers may be codes or clocks
        units = {name for name in late if columns.source.rule(name).unit is not None}
        return sorted(late, key=lambda name: (name not in label, name not in units))[:MOST_VALUES]

    def _zone(self, name: str) -> str:
        """The zone that the definition names for the column, or for what it is derived from."""
        columns = self.columns
        texts = dict(columns.source.derive)
        for column in sorted(columns.closure([name])):
            if (zone := columns.source.rule(column).zone) is not None:
                return zone
            for quoted in re.findall(r"'([^']+)'", texts.get(column, "")):
                if quoted in zone_names():
                    return str(quoted)
        return "UTC"

    def _zone_argument(self, look: InputLook) -> str:
        return f", '{self._zone(look.name)}'" if look.type is Type.TIMESTAMP else ""


def _is_skewed(look: InputLook) -> bool:
    if look.least is None or look.low is None or look.middle is None or look.high is None or look.least < 0:
        return False
    return look.high - look.middle > SKEWED * max(look.middle - look.low, 0.0)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _safe(name: str) -> str:
    """A name that may stand bare in a definition."""
    safe = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")
    return safe if safe[:1].isalpha() else f"x_{safe}"
