"""AFT's study: arms of equal size, claims, plot."""

import pytest

from tfzoo.aft.experiments import study as aft_study
from tfzoo.experiments import statistics
from tfzoo.experiments.statistics import Row
from tfzoo_cli.main import main


@pytest.mark.slow
def test_arms_have_equal_numbers_of_parameters():
    arms = aft_study.equal_arms(["attention", "simple", "full-naive", "conv"], aft_study.BASE)
    counts = [aft_study._parameters(arm.overrides)[0] for arm in arms]
    assert max(counts) / min(counts) < 1.005, counts


def test_a_negative_outcome_is_said():
    claims = aft_study.claims(["simple", "local-16"])
    rows = [Row("simple", s, 1, {"bits_per_byte": 2.0 + 0.01 * s}) for s in range(3)]
    rows += [Row("local-16", s, 1, {"bits_per_byte": 2.5}) for s in range(3)]
    says, first, second = claims[0]
    assert "simple is worse" in says and (first, second) == ("local-16", "simple")
    assert (
        statistics.verdict(statistics.paired(rows, first, second, "bits_per_byte"))
        == "contradicted"
    )


def test_the_plot_is_drawn(tmp_path):
    rows = [
        Row(arm, seed, 1, {"bits_per_byte": 2.0 + 0.1 * i + 0.01 * seed})
        for i, arm in enumerate(aft_study.VARIANTS)
        for seed in range(2)
    ]
    aft_study.plot(rows, tmp_path / "windows.png", "test")
    assert (tmp_path / "windows.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["windows.png"]


@pytest.mark.parametrize(
    ("words", "said"), [(["--arms", "fast"], "--arms"), (["--seeds", "x"], "--seeds")]
)
def test_wrong_options(words, said, capsys):
    assert main(["study", "aft", *words]) == 2
    assert said in capsys.readouterr().err
