"""The command line without TensorFlow, its start and its standard error."""

import re
import resource

import pytest

import tfzoo
from support import command, slow

COMMANDS = ("list", "train", "evaluate", "export", "serve", "predict", "study", "bench", "search")
COMMANDS += ("demo",)
WITHOUT = (
    "import sys; sys.modules['tensorflow'] = None; sys.modules['keras'] = None\n"
    "from tfzoo_cli.main import main\n"
    "sys.exit(main(sys.argv[1:]))\n"
)
LIGHT = [["--version"], ["--help"], *([name, "--help"] for name in COMMANDS)]
LIGHT += [["list"], ["list", "sdn"], ["list", "models"], ["list", "--long"]]


@pytest.mark.parametrize("words", LIGHT, ids=" ".join)
def test_it_needs_no_tensorflow_and_says_nothing_else(words):
    status, out, err = command("-c", WITHOUT, *words)
    assert status == 0 and out and not err, err


def test_it_is_there_in_a_second():
    """Processor time, so that other work does not count."""

    def spent():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def once(words):
        before = spent()
        assert command("-c", WITHOUT, *words)[0] == 0
        return spent() - before

    for words in (["--version"], ["--help"], ["train", "--help"], ["list"]):
        assert any(once(words) < 1.0 for _ in range(3)), words  # other work slows cores down


def test_the_version():
    status, out, _ = command("-m", "tfzoo_cli", "--version")
    assert status == 0 and re.fullmatch(r"tfzoo \d+\.\d+\.\d+(\.dev\d+)?\n", out)
    assert out == f"tfzoo {tfzoo.__version__}\n"


def test_a_wrong_list_is_one_line():
    status, out, err = command("-c", WITHOUT, "list", "nonsense")
    assert status == 2 and not out
    assert re.fullmatch(r"tfzoo: list='nonsense': must be recipes, models or .+\n", err)


@pytest.mark.slow
def test_nothing_of_tfzoo_stays_imported_after_a_list():
    program = (
        "import sys; from tfzoo_cli.main import main; main(['list', 'aft'])\n"
        "assert not [m for m in sys.modules if m.split('.')[0] == 'tfzoo']\n"
        "import tfzoo; print(tfzoo.aft.AFTFull.__name__)\n"
    )
    status, out, err = command("-c", program)
    assert status == 0 and out.endswith("AFTFull\n"), err


@pytest.mark.parametrize(
    "words",
    [
        slow(["train", "aft/digits", "--print-config"]),
        ["train", "aft/digits", "--dry-run"],
        slow(["study", "aft", "--help"]),
        slow(["bench", "aft", "--help"]),
        slow(["search", "collegial", "--help"]),
    ],
    ids=" ".join,
)
def test_the_start_of_tensorflow_reaches_no_user(words):
    status, out, err = command("-m", "tfzoo_cli", *words)
    assert status == 0 and out and not err, err


@pytest.mark.slow
def test_verbose_shows_the_start_of_tensorflow():
    words = ["--verbose", "train", "aft/digits", "--print-config"]
    status, _, err = command("-m", "tfzoo_cli", *words)
    assert status == 0 and re.search(r"^I\d{4} .*\.cc:\d+\]", err, re.M), err


NOISE = """WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1796016644.153402    3833 port.cc:153] oneDNN custom operations are on.
I0000 00:00:1796016644.153787    3833 cudart_stub.cc:31] Could not find cuda drivers
I0000 00:00:1796016644.221304    3833 cpu_feature_guard.cc:227] This TensorFlow binary is optimized
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow
E0000 00:00:1796016648.528  3833 cuda_platform.cc:52] failed call to cuInit: UNKNOWN ERROR (303)
2026-11-30 05:21:42.123456: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.
E0000 00:00:1796092257.855742    3092 util.cc:131] oneDNN supports DT_INT64 only on platforms with \
AVX-512. Falling back to the default Eigen-based implementation if present.
"""
ERRORS = """E0000 00:00:1796016648.528  3833 cuda_platform.cc:52] failed call to cuInit: NO MEMORY
F0000 00:00:1796016648.528601    3833 cpu_feature_guard.cc:99] needs AVX instructions
2026-11-30 05:21:42.123456: W tensorflow/core/common_runtime/gpu/gpu_device.cc:2343] Cannot dlopen
Segmentation fault
"""
HELD = (
    "import os, sys\n"
    "from tfzoo_cli.loading import _filter_noise\n"
    "_filter_noise()\n"
    "for line in sys.argv[1].splitlines(True):\n"
    "    os.write(2, line.encode())\n"
    "if len(sys.argv) > 2:\n"
    "    os.abort()\n"
)


def test_real_errors_come_through():
    status, _, err = command("-c", HELD, NOISE + ERRORS)
    assert status == 0 and err == ERRORS


def test_the_last_words_of_a_crash_come_through():
    status, _, err = command("-c", HELD, NOISE + ERRORS, "abort")
    assert status < 0 and err == ERRORS


def test_messages_of_a_running_tensorflow_are_filtered():
    """Those on the first transpose of integers, and on determinism's sequential maps."""
    program = (
        "from tfzoo_cli import loading; loading.load_tfzoo()\n"
        "import tensorflow as tf\n"
        "print(tf.function(tf.transpose)(tf.ones((2, 3), tf.int64)).shape)\n"
        "tf.config.experimental.enable_op_determinism()\n"
        "def checked(x):\n"
        "    tf.debugging.Assert(x >= 0, [x])\n"
        "    return x\n"
        "rows = tf.data.Dataset.range(3).map(checked, tf.data.AUTOTUNE)\n"
        "print([int(x) for x in rows])\n"
    )
    status, out, err = command("-c", program, env={"TF_CPP_MIN_LOG_LEVEL": "2"})
    assert status == 0 and out == "(3, 2)\n[0, 1, 2]\n" and not err


def test_a_closed_standard_error_is_no_obstacle():
    program = (
        "import os; os.close(2)\n"
        "from tfzoo_cli.loading import _filter_noise\n"
        "_filter_noise()\n"
        "print('inside')\n"
    )
    status, out, _ = command("-c", program)
    assert status == 0 and out == "inside\n"


def test_python_writes_to_the_original_standard_error_at_once():
    program = (
        "import os, sys, time\n"
        "from tfzoo_cli.loading import _filter_noise\n"
        "original = os.fstat(2).st_ino\n"
        "_filter_noise()\n"
        "assert os.fstat(sys.stderr.fileno()).st_ino == original != os.fstat(2).st_ino\n"
        "print('half a line', end='', file=sys.stderr, flush=True)\n"
        "os.abort()\n"
    )
    status, _, err = command("-c", program)
    assert status < 0 and err == "half a line"


def test_the_filter_survives_an_interruption_and_ends_with_the_program():
    program = (
        "import os, signal\n"
        "from tfzoo_cli.loading import _filter_noise\n"
        "os.setsid()\n"
        "_filter_noise()\n"
        "signal.signal(signal.SIGINT, lambda *_: os.write(2, b'interrupted\\n'))\n"
        "os.killpg(0, signal.SIGINT)\n"
    )
    status, _, err = command("-c", program)  # returns when nobody holds its standard error
    assert status == 0 and err == "interrupted\n"


def test_a_terminal_without_the_signs_gets_ascii():
    status, out, err = command(
        "-m", "tfzoo_cli", "list", env={"PYTHONIOENCODING": "ascii", "COLUMNS": "0"}
    )
    assert status == 0 and not err
    assert "0.948 +- 0.013 accuracy" in out and out.isascii()
