"""[schedule]: what it says, and what is wrong with it."""

from __future__ import annotations

import pytest
from tests.definition.conftest import Mistakes, Read

from headrace.definition.model import Retry, Schedule

START = 'format = 1\n[project]\nname = "rows"\n[sources.rows]\nread = "rows.csv"\n'


def test_everything_that_can_be_said_is_read(read: Read) -> None:
    text = """[schedule]
cron = ["0 5 * * *", "*/10 8-17 * * 1-5"]
zone = "Europe/Paris"
when = "new_files"
settle = "5s"
do = "check"
catch_up = "all"
catch_up_at_most = 7
retry = { times = 5, backoff = "1m", backoff_max = "10m" }
timeout = "2h"
"""
    assert read(START + text).schedule == Schedule(
        cron=("0 5 * * *", "*/10 8-17 * * 1-5"),
        zone="Europe/Paris",
        when="new_files",
        settle_us=5_000_000,
        do="check",
        catch_up="all",
        catch_up_at_most=7,
        retry=Retry(times=5, backoff_us=60_000_000, backoff_max_us=600_000_000),
        timeout_us=7_200_000_000,
    )
    assert read(START).schedule is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "schedule.cron"),
        ('cron = "61 * * * *"', "schedule.cron"),
        ('cron = ["0 5 * * *", "0 5 30 2 *"]', "schedule.cron[1]"),
        ('cron = "0 5 * *"', "schedule.cron"),
        ('cron = "0 0 5 * * *"', "schedule.cron"),
        ('cron = "@daily"', "schedule.cron"),
        ('cron = "0 5 * * *"\nzone = "Paris"', "schedule.zone"),
        ('cron = "0 5 * * *"\nsettle = "5s"', "schedule.settle"),
        ('when = "new_files"\nzone = "UTC"', "schedule.zone"),
        ('when = "new_file"', "schedule.when"),
        ('cron = "0 5 * * *"\ncatch_up_at_most = 3', "schedule.catch_up_at_most"),
        ('cron = "0 5 * * *"\nretry = { times = -1 }', "schedule.retry.times"),
    ],
)
def test_what_is_wrong_is_told_with_its_key(mistakes: Mistakes, text: str, key: str) -> None:
    found = mistakes(f"{START}[schedule]\n{text}\n")
    assert [mistake.key for mistake in found] == [key]
