"""Runs: stages that are fingerprinted, skipped when done, metered, committed whole, and resumed after a kill."""
