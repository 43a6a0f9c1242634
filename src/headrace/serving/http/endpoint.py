"""One deployment as a worker answers it: who gets which arm, and every arm's loaded version."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from headrace.language.errors import ValueMismatch
from headrace.language.types import Type
from headrace.language.values import decode
from headrace.scoring.bodies import Values, plain_rows
from headrace.scoring.errors import ColumnUnknown
from headrace.scoring.model import Prediction
from headrace.serving.assignment import arm_chooser
from headrace.serving.http.responses import encode
from headrace.serving.model import Arm, Deployment, Served
from headrace.serving.versions import Entity, Version

if TYPE_CHECKING:
    from headrace.serving.http.asked import Asked

Teller = Callable[["Asked"], tuple[bytes, bytes, bytes]]
"""From an answered request to the type, further head lines (each with its line end) and the body of what is sent."""
SCORE_EDGES: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Of probabilities, where nothing is known of how the version scores: finer where most events are rare."""


class Slot:
    """Who answers, with what every answer of it begins with: an arm, a shadow, a fallback, or a constant.

    Parameters
    ----------
    version : None for a constant
    shadow : whether what it says is logged and not sent
    """

    __slots__ = ("arm", "entity_of", "key", "prefix", "shadow", "sticky", "version")

    def __init__(self, deployment: Deployment, arm: str, version: Version | None, *, shadow: bool = False) -> None:
        self.arm, self.version, self.shadow = arm, version, shadow
        self.key: Final = (deployment.name, arm)
        served = None if version is None else version.served
        told = {
            "deployment": deployment.name,
            "arm": arm,
            "model": None if served is None else served.model,
            "version": None if served is None else served.version,
        }
        self.prefix: Final = encode(told)[:-1]
        self.sticky: Final = () if version is None else version.sticky(deployment.sticky)
        self.entity_of: Final[Callable[[Values], Entity]] = (
            (lambda _: ()) if version is None else version.entity_of(self.sticky)
        )


class Endpoint:
    """A deployment whose versions are loaded.

    Parameters
    ----------
    versions : by content id, all that the deployment names
    """

    def __init__(self, deployment: Deployment, versions: Mapping[str, Version]) -> None:
        self.deployment: Final = deployment
        self.name: Final = deployment.name

        def slot(arm: str, served: Served, *, shadow: bool = False) -> Slot:
            return Slot(deployment, arm, versions[served.package], shadow=shadow)

        self.slots: Final = [slot(arm.name, arm.serves) for arm in deployment.arms]
        self.shadows: Final = [slot(f"shadow-v{s.version}", s, shadow=True) for s in deployment.shadows]
        self.fallbacks: Final = [slot(f"fallback-v{s.version}", s) for s in deployment.fallbacks]
        self.constant: Final = None if deployment.constant is None else Slot(deployment, "constant", None)
        self.only: Final = self.slots[0] if len(self.slots) == 1 else None
        """The arm that answers everybody."""
        self.waits: Final = any(self.version_of(slot).waits for slot in self.slots)
        """Whether making a row ready may wait for another machine."""
        self.alike: Final = _alike(self.slots)
        """Whether a row read for one arm is a row for every other."""
        first = self.version_of(self.slots[0])
        types = {field.name: field.type for field in first.scorer.program.request}
        self.sticky: Final[Mapping[str, Type]] = {name: types[name] for name in self.slots[0].sticky}
        """The columns that name an entity, with their types."""
        self._choose = arm_chooser(deployment.arms, deployment.salt)
        self.known: Final = frozenset[str]().union(*(self.version_of(slot).bodies.known for slot in self.slots))
        """Columns that a row may carry."""
        incumbent = self.version_of(self._incumbent(deployment.arms))
        self.compared: Final = len(self.slots) > 1 or bool(self.shadows)
        """Whether what an arm scores is held against another's."""
        self._place_of_score, self.places = _scoring(incumbent)

    @property
    def versions(self) -> list[Version]:
        """Of every arm, shadow and fallback."""
        return [self.version_of(slot) for slot in (*self.slots, *self.shadows, *self.fallbacks)]

    def _incumbent(self, arms: Sequence[Arm]) -> Slot:
        """The arm that a canary is compared with; of a split the first."""
        ramp = self.deployment.ramp
        for slot, arm in zip(self.slots, arms, strict=True):
            if ramp is None or arm.name != ramp.arm:
                return slot
        return self.slots[0]

    @staticmethod
    def version_of(slot: Slot) -> Version:
        """The version of an arm, a shadow or a fallback."""
        assert slot.version is not None, "only a constant has none"
        return slot.version

    def choose(self, entity: Entity, request_id: bytes) -> Slot:
        """The arm of an entity; where nothing names it, the request's own id decides."""
        if self.only is not None:
            return self.only
        known = any(value is not None for value in entity)
        return self.slots[self._choose(entity if known else (request_id,))]

    def read(self, body: bytes, most: int, request_id: bytes, *, many: bool) -> list[tuple[Slot, Values, Entity]]:
        """Rows of a body, each with the arm that answers it, its values as that arm reads them, and its entity.

        Raises
        ------
        As `BodyReader.one`.
        """
        slot = self.slots[0]
        bodies = self.version_of(slot).bodies
        if not self.alike:
            return self._read_unlike(body, most, request_id, many=many)
        rows = bodies.many(body, most) if many else [bodies.one(body)]
        if self.only is not None:
            return [(slot, values, slot.entity_of(values)) for values in rows]
        found = []
        for values in rows:
            entity = slot.entity_of(values)
            found.append((self.choose(entity, request_id), values, entity))
        return found

    def _read_unlike(
        self, body: bytes, most: int, request_id: bytes, *, many: bool
    ) -> list[tuple[Slot, Values, Entity]]:
        """Arms that take different columns: a row may carry those of every arm, and is read by its own."""
        found = []
        for number, row in enumerate(plain_rows(body, many=many, most=most)):
            unknown = next((name for name in row if name not in self.known), None)
            if unknown is not None:
                raise ColumnUnknown(unknown, row=number, near=None)
            entity = tuple(_sticky_value(row.get(name), type_) for name, type_ in self.sticky.items())
            slot = self.choose(entity, request_id)
            found.append((slot, self.version_of(slot).bodies.mapping(row, number), entity))
        return found

    def read_for(self, slot: Slot, asked: Asked, place: int, most: int) -> Values:
        """One row of a request as another version reads it: a shadow, or a fallback."""
        rows = asked.decoded
        if rows is None:
            many = asked.body.lstrip()[:1] == b"["
            rows = asked.decoded = plain_rows(asked.body, many=many, most=most)
        return self.version_of(slot).bodies.mapping(rows[place], place)

    def tell(self, by: Slot, prediction: Prediction) -> bytes:
        """The JSON of an answer without what it begins with."""
        version = by.version or self.version_of(self.slots[0])
        return version.tell(prediction)

    def place_of_score(self, scores: tuple[float, ...]) -> int:
        """Where a score falls, by the edges of the version that others are compared with; below `places`."""
        return self._place_of_score(scores)

    def constantly(self, slot: Slot) -> Prediction:
        """What is said where nobody can answer."""
        score = self.deployment.constant
        assert score is not None, "it has a constant"
        version = self.version_of(slot)
        if version.task == "regression":
            return Prediction(model=version.served.model, version=None, value=score)
        decided = version.scorer.decider.positive(score) if version.task == "binary" else None
        return Prediction(model=version.served.model, version=None, probability=score, decision=decided)


def _alike(slots: Sequence[Slot]) -> bool:
    programs = [slot.version.scorer.program for slot in slots if slot.version is not None]
    return all(program.request == programs[0].request for program in programs)


def _sticky_value(value: object, type_: Type) -> object:
    """In the row form; None for what cannot be one, which the arm that reads the row will say."""
    try:
        return decode(value, type_)
    except ValueMismatch:
        return None


def _scoring(version: Version) -> tuple[Callable[[tuple[float, ...]], int], int]:
    """How the scores of a deployment are counted, and in how many places: classes by the likeliest, others by edges."""
    classes = version.scorer.decider.decision.classes
    if version.task == "multiclass":
        return (lambda scores: max(range(len(scores)), key=scores.__getitem__)), len(classes)
    edges = list(version.score_edges) or (list(SCORE_EDGES) if version.task == "binary" else [])
    return (lambda scores: bisect_right(edges, scores[0])), len(edges) + 1
