"""Sentences and tables of README, the guides and the cards, computed from committed CSVs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfzoo.errors import InputError
from tfzoo.experiments.statistics import (
    Row,
    against_each,
    interval,
    paired,
    read,
    values,
    verdict,
)


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


@dataclass(frozen=True)
class Table:
    """A table of a study: a row for each arm, a column for each metric, the best in bold.

    `turned`, arms are columns and metrics are rows.

    A cell is the mean over seeds, with the half of its 95 % interval if they differ.

    Attributes:
        method: package below `tfzoo`.
        data: CSV below `results/<method>/`, without `-results.csv`.
        columns: headings by metric, which is a column of numbers in the CSV.
        arms: the arms in the table; empty: all.
        names: names of rows by arm, where they are not the arms'.
        more: metrics of which the highest is best.
        less: metrics of which the lowest is best.
        digits: number of decimals, of all columns or by metric.
        plain: names of rows of what needs no training, and for each the metrics of the first arm
            that hold its numbers, by column.
        turned: whether arms are columns.
    """

    method: str
    data: str
    columns: Mapping[str, str]
    arms: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    more: Sequence[str] = ()
    less: Sequence[str] = ()
    digits: int | Mapping[str, int] = 3
    plain: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    turned: bool = False

    def text(self, root: Path) -> str:
        """The lines of Markdown, each with its end, after one that is empty.

        Raises:
            InputError: there is no such file, column or arm.
        """
        path = root / "results" / self.method / f"{self.data}-results.csv"
        rows = {metric: read(path, metric) for metric in self.columns}
        present = list(dict.fromkeys(row.arm for row in rows[next(iter(rows))]))
        arms = self.arms or present
        for arm in arms:
            if arm not in present:
                raise InputError(f"results {str(path)!r}: no arm {arm!r}")
        columns = []
        for metric in self.columns:
            cells = [_cell(rows[metric], arm, metric, self._decimals(metric)) for arm in arms]
            ranked = metric in (*self.more, *self.less)
            column = _best(cells, metric in self.more) if ranked else [c[1] for c in cells]
            for metrics in self.plain.values():
                source, text = metrics.get(metric), "-"
                if source:
                    of = read(path, source)
                    text = _cell(of, of[0].arm, source, self._decimals(metric))[1]
                column.append(text)
            columns.append(column)
        names = [*(self.names.get(arm, arm) for arm in arms), *self.plain]
        if self.turned:
            return _markdown("", names, list(self.columns.values()), columns)
        return _markdown("", list(self.columns.values()), names, list(zip(*columns, strict=True)))

    def _decimals(self, metric: str) -> int:
        return self.digits if isinstance(self.digits, int) else self.digits.get(metric, 3)


@dataclass(frozen=True)
class Across:
    """A table of one metric: a row for each data set, a column for each arm, the best in bold.

    Attributes:
        method: package below `tfzoo`.
        data: headings of rows by CSV below `results/<method>/`, without `-results.csv`.
        metric: column of the metric.
        arms: headings of columns by arm; a data set may lack some. Of two arms, the column has
            their paired differences, the first less the second.
        says: heading of the rows.
        more: whether higher is better; None: no cell is in bold.
        digits: number of decimals, of all rows or by data set.
        others: other metrics of an arm in further columns: headings by (arm, metric).
    """

    method: str
    data: Mapping[str, str]
    metric: str
    arms: Mapping[str, str] | Mapping[tuple[str, str], str]
    says: str = "data"
    more: bool | None = False
    digits: int | Mapping[str, int] = 3
    others: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def text(self, root: Path) -> str:
        """The lines of Markdown, as `Table.text` gives them."""
        lines = []
        for data in self.data:
            digits = self.digits if isinstance(self.digits, int) else self.digits.get(data, 3)
            path = root / "results" / self.method / f"{data}-results.csv"
            rows = read(path, self.metric)
            cells = [_cell(rows, arm, self.metric, digits) for arm in self.arms]
            texts = [c[1] for c in cells] if self.more is None else _best(cells, self.more)
            for arm, metric in self.others:
                texts.append(_cell(read(path, metric), arm, metric, digits)[1])
            lines.append(texts)
        headings = [*self.arms.values(), *self.others.values()]
        return _markdown(self.says, headings, list(self.data.values()), lines)


@dataclass(frozen=True)
class Compared:
    """A table of one metric: a row for each arm, and how far another arm is from it.

    p-values are from Student's paired two-sided test over seeds, adjusted by Holm's method within
    each group.

    Attributes:
        method: package below `tfzoo`.
        data: CSV below `results/<method>/`, without `-results.csv`.
        metric: column of the metric.
        says: the metric in words.
        groups: arms by the arm that is compared with each of them. Other arms have a row without a
            comparison.
        ours: heading of the differences.
        more: whether higher is better.
        digits: number of decimals.
    """

    method: str
    data: str
    metric: str
    says: str
    groups: Mapping[str, Sequence[str]]
    ours: str
    more: bool = False
    digits: int = 3

    def text(self, root: Path) -> str:
        """The lines of Markdown, as `Table.text` gives them."""
        path = root / "results" / self.method / f"{self.data}-results.csv"
        rows = read(path, self.metric)
        compared = {}
        for ours, others in self.groups.items():
            results = against_each(rows, ours, others, self.metric, self.more)
            for other, (difference, p, says) in zip(others, results, strict=True):
                mean, half = (f"{x:.{self.digits}f}" for x in (difference.mean, difference.half))
                compared[other] = [f"{mean} ± {half}", f"{p:.3f}", says]
        arms = list(dict.fromkeys(row.arm for row in rows))
        lines = [
            [_cell(rows, arm, self.metric, self.digits)[1], *compared.get(arm, ["", "", ""])]
            for arm in arms
        ]
        return _markdown("arm", [self.says, self.ours, "p, adjusted", "verdict"], arms, lines)


def _cell(
    rows: Sequence[Row], arm: str | tuple[str, str], metric: str, digits: int
) -> tuple[float, str]:
    """The mean and its text, with half of the interval unless that rounds to 0."""
    if isinstance(arm, tuple):
        value = paired(rows, *arm, metric)
    else:
        value = interval(list(values(rows, arm, metric).values()))
    if not value.count:
        return value.mean, "-"
    mean, half = (f"{x:,.{digits}f}" for x in (value.mean, value.half))
    return value.mean, f"{mean} ± {half}" if value.half >= 0.5 * 10**-digits else mean


def _best(cells: Sequence[tuple[float, str]], more: bool) -> list[str]:
    """The texts, the best in bold."""
    known = [mean for mean, _ in cells if mean == mean]
    best = max(known, default=None) if more else min(known, default=None)
    return [f"**{text}**" if mean == best else text for mean, text in cells]


def _markdown(
    corner: str, columns: Sequence[str], names: Sequence[str], cells: Sequence[Sequence[str]]
) -> str:
    lines = ["", f"|{f' {corner}' if corner else ''} | {' | '.join(columns)} |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    lines += [f"| {n} | {' | '.join(row)} |" for n, row in zip(names, cells, strict=True)]
    return "\n".join(lines) + "\n"
