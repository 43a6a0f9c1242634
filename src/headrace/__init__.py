"""Headrace: from raw tables to a governed, watched, costed prediction service, from one definition."""

__version__ = "0.1.0"
