"""Builds CHANGELOG.md from `changes/`: one small file a change, for users.

A file is `changes/NNNN-words.md`. Its first line is `kind: sentence` with kind one of added, changed, fixed, removed,
security; then, if need be, a blank line and a paragraph. `--check` verifies the form and that CHANGELOG.md is up to
date; without it the file is written.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("added", "changed", "fixed", "removed", "security")
HEAD = """# Changelog

What changed for users. Each entry is a file in `changes/`; `make changelog` gathers them here.

## Unreleased
"""


def entries() -> list[tuple[str, str]]:
    """(kind, text) of each change in file order; stops with every file that breaks the form named."""
    found: list[tuple[str, str]] = []
    wrong: list[str] = []
    for path in sorted((ROOT / "changes").glob("*.md")):
        first, _, rest = path.read_text(encoding="utf-8").strip().partition("\n")
        kind, colon, sentence = first.partition(": ")
        if not re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", path.name):
            wrong.append(f"{path.name}: the name is not NNNN-words.md")
        elif not colon or kind not in KINDS or not sentence.endswith("."):
            wrong.append(f"{path.name}: line 1 is not 'kind: Sentence.' with kind one of {', '.join(KINDS)}")
        else:
            found.append((kind, " ".join([sentence, *rest.split()])))
    if wrong:
        sys.exit("changes/: " + "; ".join(wrong))
    return found


def render(found: list[tuple[str, str]]) -> str:
    """The whole CHANGELOG.md."""
    parts = [HEAD]
    for kind in KINDS:
        texts = [text for k, text in found if k == kind]
        if texts:
            parts.append(f"\n### {kind.capitalize()}\n\n" + "".join(f"- {text}\n" for text in texts))
    return "".join(parts)


def main() -> None:
    """Write the file, or check it."""
    text, path = render(entries()), ROOT / "CHANGELOG.md"
    if "--check" in sys.argv[1:]:
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.exit("CHANGELOG.md is not what changes/ builds; fix: make changelog")
    else:
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
