"""One migration a file, `rNNNN_what.py`; a migration that was released never changes."""
