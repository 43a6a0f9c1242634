"""Fills a station's template; every value is escaped, an unknown name is an error."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from headrace.errors import MissingDependency
from headrace.pages.scale import amount, short

if TYPE_CHECKING:
    from jinja2 import Environment

STATIONS = ("pages", "data", "training", "serving")


def render(template: str, **values: object) -> str:
    """The page as HTML: `template` is `STATION/NAME.html.j2`, found in that station's `templates` folder."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined
    except ImportError:
        raise MissingDependency("jinja2", extra="build", needed_for="writing a report page") from None
    loader = PrefixLoader({station: PackageLoader(f"headrace.{station}", "templates") for station in STATIONS})
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = short
    environment.filters["money"] = amount
    environment.filters["count"] = lambda value: f"{value:,.0f}"
    environment.filters["share"] = lambda value: f"{100 * value:.2f} %"
    return environment
