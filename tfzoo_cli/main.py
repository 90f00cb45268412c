"""The command `tfzoo`: its arguments, exit status and output."""

from __future__ import annotations

import argparse
import codecs
import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tfzoo_cli import serve

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
_STATUS = {
    "tfzoo.errors:InputError": 2,
    "tfzoo.serving.errors:ExportError": 1,
    "tfzoo.training.callbacks:TrainingDiverged": 1,
}
"""Names of classes that cannot be imported before TensorFlow."""
_INTERRUPTED = "tfzoo.training.callbacks:TrainingInterrupted"
_ASCII = {"±": "+-", "…": "...", "×": "x", "−": "-", "–": "-", "→": "->", "π": "pi", "α": "alpha"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        0; 2 for invalid input, with one line that explains it; 1 for a failed run; 128 + signal
        number for an interrupted one.
    """
    _spell_in_ascii_where_needed()
    parser = _parser()
    words, rest = parser.parse_known_args(argv)
    # argparse ends a list of arguments at the first option: `tfzoo train NAME --dry-run epochs=3`
    if rest and hasattr(words, "overrides") and all("=" in w and w[0] != "-" for w in rest):
        words.overrides += rest
    elif rest and hasattr(words, "input") and not any(w.startswith("-") for w in rest):
        words.input += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return words.run(words) or 0
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:  # `tfzoo list | head`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 0
    except Exception as error:
        code = _status(error)
        if code is None:
            raise
        return _fail(error, code)


def _status(error: Any) -> int | None:
    names = [f"{cls.__module__}:{cls.__qualname__}" for cls in type(error).__mro__]
    if _INTERRUPTED in names:
        return 128 + error.signum
    if isinstance(error, OSError) and error.errno in _DISK:  # a full or read-only disk
        return 1
    return next((_STATUS[name] for name in names if name in _STATUS), None)


def _fail(error: Exception | str, code: int) -> int:
    print(f"tfzoo: {error}", file=sys.stderr)
    return code


def _spell_in_ascii_where_needed() -> None:
    """Writes `±` and the like as `+-` if the output's encoding lacks them."""

    def spell(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        text = error.object[error.start : error.end]
        return "".join(_ASCII.get(letter, "?") for letter in text), error.end

    codecs.register_error("tfzoo", spell)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="tfzoo")


def _command(name: str) -> Callable[[argparse.Namespace], int | None]:
    def run(words: argparse.Namespace) -> int | None:
        from tfzoo_cli import commands, loading

        loading.load_tfzoo(words.verbose)
        return getattr(commands, name)(words)

    return run


def _list(words: argparse.Namespace) -> None:
    from tfzoo_cli import listing, loading

    with loading.light_modules():
        listing.show(words.what, words.long)


class _Version(argparse.Action):
    """Looks the version up only when it is requested."""

    def __init__(self, option_strings: Sequence[str], dest: str, **keywords: Any):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **keywords)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata

        print(f"tfzoo {metadata.version('tfzoo')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tfzoo", description="Ten published methods in TensorFlow and Keras 3."
    )
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    parser.add_argument(
        "--verbose", action="store_true", help="show all TensorFlow messages; goes before COMMAND"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, help: str, run: Callable | None = None) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help)
        command.set_defaults(run=run or _command(name))
        return command

    command = add("list", "list recipes or pretrained models", _list)
    command.add_argument("what", nargs="?", default="recipes", help="`models` or a method")
    command.add_argument("--long", action="store_true", help="print all details")

    command = add("train", "run a recipe; the same command resumes it")
    command.add_argument("recipe", help="a name of `tfzoo list`, or a YAML file")
    command.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. epochs=3")
    command.add_argument("--run-dir", help="default: runs/<recipe>-<hash of the config>")
    command.add_argument("--print-config", action="store_true", help="print the config and exit")
    command.add_argument("--dry-run", action="store_true", help="build the model and exit")
    command.add_argument("--no-export", action="store_true", help="do not write a SavedModel")

    target = "a run directory, a name of `tfzoo list models`, or a .keras file"
    command = add("evaluate", "print a trained model's test metrics")
    command.add_argument("model", help=target)
    command.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. data.path=F")
    command.add_argument("--recipe", help="the recipe of a bare .keras file")

    command = add("export", "write a SavedModel for TensorFlow Serving, or LiteRT or ONNX files")
    command.add_argument("model", help=target)
    command.add_argument("--output", required=True, help="model folder; gets a new version")
    command.add_argument(
        "--format",
        choices=("savedmodel", "litert", "onnx"),
        default="savedmodel",
        help="litert, onnx: a new folder with one file per signature that can be converted",
    )
    command.add_argument("--recipe", help="the recipe of a bare .keras file")
    command.add_argument("--version", type=int, help="default: the next unused number")

    serve.add_flags(add("serve", "serve exported models over REST and gRPC"))

    command = add("predict", "run a trained or served model on files")
    command.add_argument(
        "model", help=f"{target}, or http://HOST:PORT/v1/models/NAME[/versions/NUMBER]"
    )
    command.add_argument(
        "input",
        nargs="+",
        help="files, folders or patterns: images, videos, texts, .npy, or .npz or .json by "
        "input name; for --output MESH an .npz of images and cameras, or a folder of photographs "
        "with cameras of COLMAP, NeRF or OpenCV",
    )
    command.add_argument("--signature", help="default: the signature that takes the input")
    command.add_argument("--batch-size", type=int, default=32, help="rows per call; default 32")
    command.add_argument("--recipe", help="the recipe of a bare .keras file")
    command.add_argument(
        "--output",
        help=".npz, .csv (one row per input) or .json; for recon3d also a mesh: .glb, .obj, .ply, "
        ".stl, .off; default: print JSON",
    )

    texts = {
        "study": "test the paper's claim in an experiment",
        "bench": "measure time and memory",
        "search": "compute settings from a method's theory, without training",
    }
    for kind, text in texts.items():
        command = add(kind, text, _command("experiment"))
        command.set_defaults(kind=kind)
        command.add_argument("name", help="a method, e.g. aft")
        command.add_argument("rest", nargs=argparse.REMAINDER, help=f"see `tfzoo {kind} NAME -h`")

    command = add("demo", "train, export, serve and query a small model")
    command.add_argument("--output", default="tfzoo-demo", help="folder for all files")
    return parser


if __name__ == "__main__":
    sys.exit(main())
