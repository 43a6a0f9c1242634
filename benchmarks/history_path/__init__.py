"""The history path at ×1, ×10, ×30 rows, beside the same work written by hand in Polars, pandas and DuckDB SQL.

The work (`polars_by_hand.py` is the specification): read the monthly CSV parts, weather Parquet, planes NDJSON,
airports and airlines from SQLite; keep a copy as read; derive the three instants; hold the rules and the unique key,
put failing rows aside; keep the accepted table; look weather up as of known instants; join aeroplane, airline and
airport; 21 window aggregates over what was known before; nine row expressions; label; write the frame sorted by
time.

Ours does more of it: content ids, fsync, fingerprints, a quality report with a profile of every column, exact sums. Its
windows begin at a hop, the others slide.
"""
