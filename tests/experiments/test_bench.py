"""The bench harness: turns, limits, ratios, targets. No timed assertions."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tfzoo.experiments import bench
from tfzoo.experiments.bench import Result, Target

MEGABYTE = 2**20


def build(kind, log=None):
    """Built in the workers: records its turns, fills memory, or fails."""
    held = []

    def step():
        if log:
            with open(log, "a") as file:
                file.write(kind)
        if kind == "large":
            held.append(np.ones(300 * MEGABYTE // 8))
            held.clear()
        if kind == "growing":
            held.append(np.ones(200 * MEGABYTE // 8))
        if kind == "broken":
            raise RuntimeError("no such kernel\nmore")

    return step


@pytest.fixture
def path(monkeypatch):
    """Makes this file importable by workers."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))  # they inherit this process's path


def test_alternatives_take_turns(tmp_path, path):
    log = tmp_path / "log"
    keywords = {"a": {"kind": "a", "log": str(log)}, "b": {"kind": "b", "log": str(log)}}
    with bench.workers(keywords) as workers:
        results = bench.compare(workers, "test_bench:build", keywords, 3, memory=False)
    turn = "a" * 10 + "b" * 10  # steps this short are repeated within a turn
    assert log.read_text() == "ab" + 3 * turn  # once for building, then in turns
    assert [len(r.seconds) for r in results.values()] == [30, 30]


@pytest.mark.slow
def test_memory_is_weighed_and_the_limit_kept(path):
    kinds = {name: {"kind": name} for name in ("small", "large", "growing", "broken")}
    with bench.workers(kinds, memory_limit=2**31) as workers:
        results = bench.compare(workers, "test_bench:build", kinds, 8)
    assert results["large"].peak_bytes > 250 * MEGABYTE
    assert results["small"].peak_bytes < 100 * MEGABYTE
    assert results["growing"].error == "out of memory (> 2.0 GiB)"
    assert results["broken"].error == "no such kernel" and results["broken"].seconds == []


@pytest.mark.slow
def test_a_lost_worker_is_started_anew(path):
    with bench.workers(["a"], memory_limit=2**31) as workers:
        build = "test_bench:build"
        lost = bench.compare(workers, build, {"a": {"kind": "growing"}}, 8, memory=False)
        again = bench.compare(workers, build, {"a": {"kind": "small"}}, 1, memory=False)
    assert lost["a"].error and not again["a"].error and again["a"].seconds


@pytest.mark.slow
def test_a_process_that_is_killed_from_outside_is_said(path):
    with bench.workers(["a"]) as workers:
        workers["a"].ask("build", "test_bench:build", {"kind": "small"}, time_limit=60)
        workers["a"]._process.kill()
        workers["a"]._process.join()
        with pytest.raises(bench.Lost, match="killed by the system"):
            workers["a"].ask("time")


def test_growth_exponents():
    sizes = [256, 512, 1024]
    assert bench.slope(sizes, [3.0 * n**1.5 for n in sizes]) == pytest.approx(1.5)


def test_targets_and_report(tmp_path):
    targets = [Target("fast", 5.0, 4.0, True), Target("small", 2.0, 1.0, False)]
    assert [t.met for t in targets] == [True, False]
    assert not Target("missing", float("nan"), 4.0, True).met
    assert "NOT MET" in str(targets[1])
    bench.report("test", [{"a": 1}, {"a": 2, "b": 3}], targets, tmp_path)
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    written = json.loads((tmp_path / "bench.json").read_text())
    assert [t["met"] for t in written["targets"]] == [True, False]
    assert [(r["a"], r["b"], r["date"]) for r in rows] == [
        ("1", "", written["date"]),
        ("2", "3", written["date"]),
    ]


def test_rows_and_ratios(capsys):
    results = {"a": Result("a", [4.0, 2.0, 6.0], 3 * MEGABYTE), "b": Result("b", [], None, "gone")}
    rows = bench.table(results, per=2, kind="k")
    assert rows[0] == {
        "kind": "k",
        "alternative": "a",
        "seconds": 2.0,
        "repetitions": 3,
        "peak_mib": 3.0,
        "error": "",
    }
    assert rows[1]["seconds"] == "" and rows[1]["error"] == "gone"
    assert bench.table(results, {"a": 4})[0]["seconds"] == 1.0
    assert bench.table(results, {"b": 4})[0]["seconds"] == 4.0
    assert "2000.00 ms" in capsys.readouterr().out
    times = bench.Times(
        [*rows, rows[0] | {"alternative": "c", "seconds": 1.0}], "kind", "alternative"
    )
    (target,) = times.ratio("a / c", ("k", "a"), ("k", "c"), 1.5, at_least=False)
    assert target.measured == 2.0 and not target.met
    assert times.ratio("b / c", ("k", "b"), ("k", "c"), 1.5, at_least=False) == []


def test_medians():
    assert Result("a", [3.0, 1.0, 2.0]).median == 2.0
    assert np.isnan(Result("a").median)


def test_pulling_times_no_batch_that_lay_ready():
    class Stream:
        def __iter__(self):
            taken.append(0)
            while True:
                taken[-1] += 1
                yield taken[-1]

    taken = []
    pull = bench.Pulling(Stream())
    pull()
    assert taken == [2 * bench.BATCHES]
    pull.prepare()  # batches that are already prepared are discarded
    assert taken == [2 * bench.BATCHES, bench.BATCHES]


class Prepared:
    """Built in a worker: records what is done."""

    def __init__(self, log):
        self.log = log

    def _note(self, letter):
        with open(self.log, "a") as file:
            file.write(letter)

    def prepare(self):
        self._note("p")

    def __call__(self):
        self._note("c")


def test_each_timed_repetition_is_prepared(tmp_path, path):
    log = tmp_path / "log"
    with bench.workers(["a"]) as workers:
        keywords = {"log": str(log)}
        workers["a"].ask("build", "test_bench:Prepared", keywords, time_limit=60)
        for _ in range(2):
            workers["a"].ask("time")
    assert log.read_text() == "c" + 2 * "pc"
