"""Prints the lowest versions that tfzoo declares, as pip constraints for `make floors`.

Run `python tools/floors.py` in an environment with tfzoo and packaging. The floors are read from
tfzoo's metadata, so they are stated only in `setup.py`.
"""

from importlib import metadata

from packaging.requirements import Requirement


def floor(line: str) -> str | None:
    """The requirement's lowest version as a pin; None where another package bounds it below."""
    requirement = Requirement(line)
    lowest = [s.version for s in requirement.specifier if s.operator in (">=", "==")]
    return f"{requirement.name}=={lowest[0]}" if lowest else None


if __name__ == "__main__":
    print("\n".join(sorted({pin for line in metadata.requires("tfzoo") if (pin := floor(line))})))
