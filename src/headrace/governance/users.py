"""Who acts on this machine, as far as it tells."""

from __future__ import annotations

import getpass
import os


def user_name() -> str:
    """The user's name; the number where there is none, as in a container that runs as a user nobody named."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
