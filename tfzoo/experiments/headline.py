"""The sentences that README, the guides and the cards quote, computed from committed CSVs."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tfzoo.errors import InputError
from tfzoo.experiments.statistics import interval, paired, read, values, verdict


@dataclass(frozen=True)
class Headline:
    """The claim that one arm of a study is better than another.

    Attributes:
        method: package below `tfzoo`.
        data: CSV below `results/<method>/`, without `-results.csv`.
        metric: column of the metric.
        says: the metric in words.
        first: the arm that the claim favours.
        second: the arm that it is compared with.
        more: whether higher is better.
        digits: number of decimals.
    """

    method: str
    data: str
    metric: str
    says: str
    first: str
    second: str
    more: bool = False
    digits: int = 3

    def text(self, root: Path) -> str:
        """The sentence, e.g. `return: UWAC -5.0 ± 0.6, BEAR -7.3 ± 0.2; difference ...`."""
        rows = read(root / "results" / self.method / f"{self.data}-results.csv", self.metric)
        parts = []
        for arm in (self.first, self.second):
            value = interval(list(values(rows, arm, self.metric).values()))
            parts.append(f"{arm} {self._number(value.mean)} ± {self._number(value.half)}")
        difference = paired(rows, self.first, self.second, self.metric)
        if difference.count < 2:
            raise InputError(f"{self.method}: {self.first!r}, {self.second!r}: no common seeds")
        sided = paired(rows, self.second, self.first, self.metric) if self.more else difference
        half, mean = self._number(difference.half), self._number(difference.mean)
        return (
            f"{self.says}: {'; '.join(parts)}; difference {mean} ± {half} over "
            f"{difference.count} seeds ({verdict(sided)})"
        )

    def _number(self, value: float) -> str:
        return f"{value:.{self.digits}f}"


@dataclass(frozen=True)
class Rival(Headline):
    """A method compared with what its user would use otherwise, also if it loses.

    Attributes:
        called: name of `second` in the sentence; empty: that in the CSV.
        second_metric: the column of `second`; empty: `metric`.
    """

    called: str = ""
    second_metric: str = ""

    def text(self, root: Path) -> str:
        """E.g. `error 0.163, tuned thresholds 0.130: 0.033 ± 0.021 worse`.

        The last word is `open` if the interval of the paired difference contains 0.
        """
        path = root / "results" / self.method / f"{self.data}-results.csv"
        other = self.second_metric or self.metric
        ours = values(read(path, self.metric), self.first, self.metric)
        theirs = values(read(path, other), self.second, other)
        difference = interval([ours[s] - theirs[s] for s in sorted(ours.keys() & theirs.keys())])
        if difference.count < 2:
            raise InputError(f"{self.method}: {self.first!r}, {self.second!r}: no common seeds")
        first, second = (self._number(interval([*v.values()]).mean) for v in (ours, theirs))
        size, half = self._number(abs(difference.mean)), self._number(difference.half)
        says = "open"
        if abs(difference.mean) > difference.half:
            says = "better" if (difference.mean > 0) == self.more else "worse"
        called = self.called or self.second
        return f"{self.says} {first}, {called} {second}: {size} ± {half} {says}"


@dataclass(frozen=True)
class Timed:
    """Time and memory of a method and of what its user would use otherwise, from a bench's CSV.

    Attributes:
        method: package below `tfzoo`.
        says: what was timed, in words.
        rows: selects rows of `results/<method>/bench-results.csv` by values of columns.
        column: the column that distinguishes method and alternative.
        first: its value for the method.
        second: its value for the alternative.
        called: name of the alternative in the sentence.
    """

    method: str
    says: str
    rows: Mapping[str, str]
    column: str
    first: str
    second: str
    called: str

    def text(self, root: Path) -> str:
        """E.g. `2,048 steps: 182 ms, 301 MiB; attention 1,411 ms, 4,857 MiB`.

        Raises:
            InputError: there is no such file, or not exactly one row for each of the two.
        """
        path = root / "results" / self.method / "bench-results.csv"
        if not path.is_file():
            raise InputError(f"results {str(path)!r}: no such file")
        with path.open(encoding="utf-8") as file:
            lines = [row for row in csv.DictReader(file) if self.rows.items() <= row.items()]
        costs = []
        for value in (self.first, self.second):
            ours = [row for row in lines if row[self.column] == value]
            if len(ours) != 1:
                raise InputError(f"results {str(path)!r}: {len(ours)} rows of {value!r}, must be 1")
            milliseconds, mib = 1e3 * float(ours[0]["seconds"]), float(ours[0]["peak_mib"])
            costs.append(f"{milliseconds:,.0f} ms, {mib:,.0f} MiB")
        return f"{self.says}: {costs[0]}; {self.called} {costs[1]}"
