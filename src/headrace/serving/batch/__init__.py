"""Batches in Arrow and Parquet: what reads and writes them runs in a process of its own (`headrace[batch]`)."""
