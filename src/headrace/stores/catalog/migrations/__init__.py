"""The catalog's schema as a sequence of Alembic migrations, one file a revision, listed in `catalog/revisions.py`."""
