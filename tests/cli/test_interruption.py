"""Ctrl-C is heeded also where Python could not raise it."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from headrace.cli import interruption
from headrace.cli.interruption import Heeding
from headrace.runs.progress import SilentProgress


class Finaliser:
    """In which nothing that is raised gets out."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1_000):
            pass  # the signal arrives between two of these


def test_what_was_typed_in_a_finaliser_is_heeded_at_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[type[BaseException] | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: lost.append(told.exc_type))
    before = signal.getsignal(signal.SIGINT)
    progress = Heeding(SilentProgress())
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interruption.listen()
        progress.stage_started("search")
        Finaliser()
        assert lost == [KeyboardInterrupt]
        progress.say("told whatever was typed")
        with pytest.raises(KeyboardInterrupt):
            progress.stage_moved("search", 1.0, None, "trials", "")
        Finaliser()
        with pytest.raises(KeyboardInterrupt):
            progress.stage_started("evaluate")
        progress.stage_moved("search", 2.0, None, "trials", "")  # once
        progress.stage_ended("search", "failed", None)
    finally:
        signal.signal(signal.SIGINT, before)


def test_who_handles_it_otherwise_goes_on_doing_so() -> None:
    def mine(*_: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGINT, mine)
    try:
        interruption.listen()
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_was_typed_for_the_command_before_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interruption.listen()
        Finaliser()
        interruption.listen()
        Heeding(SilentProgress()).stage_started("search")
    except KeyboardInterrupt:  # it would end the tests
        pytest.fail("it was stopped by what was typed before")
    finally:
        signal.signal(signal.SIGINT, before)
