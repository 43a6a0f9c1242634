"""`headrace data contract`: contracts to and from the Open Data Contract Standard."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from headrace.cli.options import AsJson, ProjectPath
from headrace.cli.output import near, print_json, print_line

Output = Annotated[Path | None, Parameter(name=["--output", "-o"], help="The file to write; printed when left out.")]


def export(source: str, *, output: Output = None, project: ProjectPath = None, as_json: AsJson = False) -> int:
    """The contract of a source as an Open Data Contract Standard document (YAML, version 3.1.0).

    Parameters
    ----------
    source
        The source's name.
    """
    from headrace.app import Project

    document = Project.open(project).contract(source)
    text = _yaml(document)
    if output is not None:
        output.write_text(text, encoding="utf-8")
    if as_json:
        print_json(document)
    elif output is None:
        sys.stdout.write(text)
    else:
        print_line(f"contract of {source}: {near(output.absolute())}")
    return 0


def _yaml(document: Any) -> str:
    import yaml

    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120))


def read(file: Path, *, as_json: AsJson = False) -> int:
    """Print the sections of headrace.toml that an Open Data Contract Standard document stands for.

    Parameters
    ----------
    file
        The document (YAML or JSON), version 3.0 to 3.2.
    """
    from headrace.data.odcs import from_odcs
    from headrace.definition.section import source_section

    found = from_odcs(_document(file))
    if as_json:
        print_json([one._asdict() for one in found])
        return 0
    for one in found:
        sys.stdout.write(source_section(one.name, one.values))
        for text in one.left_out:
            sys.stderr.write(f"not taken over from {one.name}: {text}\n")
    return 0


def _document(file: Path) -> Any:
    import yaml

    from headrace.data.errors import ContractUnreadable

    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ContractUnreadable(f"there is no file {file.name}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ContractUnreadable(f"{file.name} is no YAML ({type(error).__name__})") from None
