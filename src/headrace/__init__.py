"""Headrace: from raw tables to a governed, watched, costed prediction service, from one definition.

>>> import headrace
>>> project = headrace.Project.open("examples/flights")  # doctest: +SKIP
>>> project.run().version.number  # doctest: +SKIP
1
>>> headrace.load("flight-delays@champion").predict(rows)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Project", "__version__", "load"]

if TYPE_CHECKING:
    from headrace.app import Project, load


def __getattr__(name: str) -> Any:  # lazy: `import headrace` loads nothing heavy
    if name in ("Project", "load"):
        from headrace import app

        return getattr(app, name)
    raise AttributeError(f"module 'headrace' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
