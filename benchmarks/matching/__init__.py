"""Fuzzy duplicates, ours beside Splink: `python -m benchmarks.matching PEERS`."""
