"""Parts of a user's data that cannot be used: refused, or left out, counted and listed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tfzoo.errors import InputError
from tfzoo.files import write_text


class Faults:
    """Refuses the first unusable part of the data, or leaves all unusable parts out.

    Args:
        on_error: `fail` or `skip`.
        skipped: filled with the reason for each part left out, by its name.
    """

    def __init__(self, on_error: str = "fail", skipped: dict[str, str] | None = None):
        self.on_error = on_error
        self.skipped: dict[str, str] = {} if skipped is None else skipped

    @contextlib.contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Attributes an `InputError` raised inside to this part, e.g. a file; `skip` swallows it.

        Raises:
            InputError: with `fail`; one line that names the part.
        """
        try:
            yield
        except InputError as error:
            reason = str(error) if part in str(error) else f"data.path: {part!r}: {error}"
            if self.on_error == "fail":
                raise InputError(f"{reason} (data.on_error=skip leaves it out)") from None
            self.skipped[part] = reason


def check_once(
    parts: Sequence[Path],
    check: Callable[[Path], object],
    state: str,
    faults: Faults,
    data_dir: str | None,
) -> None:
    """Checks data that are read in place before training; repeated only if they have changed.

    The result is kept with TFDS's prepared data, if that folder is writable.

    Args:
        parts: files or folders.
        check: raises an `InputError` for a part that cannot be used.
        state: a string that changes with the data and with the check; see `folders.state`.
        faults: handles each part that cannot be used.
        data_dir: where TFDS keeps prepared data; None: TFDS's default.

    Raises:
        InputError: with `fail`; one line that names the part.
    """
    import tensorflow_datasets as tfds

    def fault(part: Path) -> str | None:
        try:
            check(part)
        except InputError as error:
            return str(error)
        return None

    root = Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
    record = root / "tfzoo_checked" / f"{state}.json"
    if record.is_file():
        reasons = json.loads(record.read_text(encoding="utf-8"))
    else:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            checked = zip(parts, pool.map(fault, parts), strict=True)
            reasons = {str(part): reason for part, reason in checked if reason is not None}
        with contextlib.suppress(OSError):
            write_text(record, json.dumps(reasons))
    for name, reason in reasons.items():
        with faults.of(name):
            raise InputError(reason)
