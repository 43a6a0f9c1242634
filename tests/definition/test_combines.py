"""One entity from several sources, as the definition says it: read, and every mistake told at its place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.definition.errors import Mistake
from headrace.definition.model import Combine, Definition, Survive

Read = Callable[[str], Definition]
Mistakes = Callable[[str], tuple[Mistake, ...]]

TEXT = """
format = 1
[project]
source = "customers"
request = ["city"]
[sources.crm]
read = "crm.csv"
rename = { nr = "id" }
[sources.billing]
read = "billing.csv"
event_time = "at"
[sources.customers]
from = ["crm", "billing"]
key = "id"
[sources.customers.map.billing]
id = "cust_no"
[sources.customers.survive]
"*" = "first_not_null"
""".replace('"first_not_null"', '"rank"')


def test_what_is_written_is_read(read: Read) -> None:
    source = read(TEXT).source("customers")
    assert source.combine == Combine(
        members=("crm", "billing"),
        key=("id",),
        map=(("billing", (("id", "cust_no"),)),),
        survive=(("*", Survive(rule="rank")),),
    )
    assert (source.read, source.format, source.missing, source.members) == ((), "combined", (), ("crm", "billing"))


@pytest.mark.parametrize(
    ("old", "new", "key", "message", "fix"),
    [
        ('["crm", "billing"]', '["crm", "biling"]', "from[1]", "there is no such source", 'did you mean "billing"?'),
        ('["crm", "billing"]', '["crm", "customers"]', "from[1]", "cannot be made from itself", "name the sources"),
        ('key = "id"', "", "key", "the key `key` is missing", 'write key = "customer_id"'),
        ('key = "id"', 'key = "id"\nread = "x.csv"', "read", "`read` is for sources that are read", "take one out"),
        ('key = "id"', 'key = "id"\nseparator = ";"', "separator", "`separator` is for sources that are", "say it in"),
        ("map.billing", "map.biling", "map.biling", "not one of `from`", 'did you mean "billing"?'),
        ('"cust_no"', '"cust_no +"', "map.billing.id", "", ""),
        ('"rank"', '"newest"', "survive.*", "not one of the words", 'did you mean "most_recent"?'),
        ('"rank"', '"most_recent"', "survive.*", "source crm has no event_time", 'by = "updated_at"'),
        ('"rank"', '{ rule = "max", by = "at" }', "survive.*.by", "`by` does not go with this rule", "take it out"),
        ('"rank"', '{ rule = "rank", order = ["crn"] }', "survive.*.order[0]", "not one of `from`", '"crm"?'),
        ('"*" = "rank"', 'id = "max"', "survive.id", "rows of one entity are equal in its key", "take it out"),
        ('map.billing]\nid = "cust_no"', 'map.crm]\nid = "nr"', "map.crm.id", "was renamed", "use `id`"),
    ],
)
def test_a_mistake_is_told_at_its_key(mistakes: Mistakes, old: str, new: str, key: str, message: str, fix: str) -> None:
    assert old in TEXT
    found = mistakes(TEXT.replace(old, new))
    assert len(found) == 1, found
    path = found[0].key.replace('"', "").removeprefix("sources.customers.")
    assert path == key
    assert message in found[0].message
    assert fix in found[0].fix


def test_a_source_needs_read_or_from(mistakes: Mistakes) -> None:
    [found] = mistakes(TEXT.replace('read = "crm.csv"', ""))
    assert found.message == "the key `read` is missing"


def test_what_is_for_combined_sources_is_told_elsewhere(mistakes: Mistakes) -> None:
    [found] = mistakes(TEXT.replace('read = "crm.csv"', 'read = "crm.csv"\nkey = "id"'))
    assert found.message == "`key` is for sources that combine others"


def test_circles_are_told_with_all_mistakes_at_once(mistakes: Mistakes) -> None:
    text = TEXT.replace('read = "crm.csv"\nrename = { nr = "id" }', 'from = ["customers"]\nkey = "id"')
    found = mistakes(text.replace('"cust_no"', '"cust_no +"'))
    assert {"circle", "expression"} <= {mistake.code for mistake in found}
    circle = next(mistake for mistake in found if mistake.code == "circle")
    assert circle.key == "sources.crm.from"
    assert circle.found == "crm → customers → crm"
