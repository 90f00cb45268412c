"""Recipes and pretrained models by name; Keras is needed only to load a model."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfzoo.errors import InputError
from tfzoo.files import expanded, replacing

if TYPE_CHECKING:
    import keras

_HERE = Path(__file__).parent
WEIGHTS = _HERE / "weights"


def recipes_folder() -> Path:
    """Folder of the recipes: `tfzoo/configs` in an installed wheel, `configs` in a checkout."""
    inside = _HERE / "configs"
    return inside if inside.is_dir() else _HERE.parent / "configs"


def list_recipes() -> list[str]:
    """Names of all recipes, e.g. `aft/digits`."""
    root = recipes_folder()
    return sorted(str(p.relative_to(root).with_suffix("")) for p in root.glob("*/*.yaml"))


def find_recipe(name_or_path: str) -> Path:
    """The YAML file of a recipe name, or the path itself.

    Raises:
        InputError: it is neither; the message lists near matches.
    """
    path = Path(expanded(name_or_path))
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise InputError(f"recipe {name_or_path!r}: no such file")
        return path
    named = recipes_folder() / f"{name_or_path}.yaml"
    if re.fullmatch(r"\w+/\w+", name_or_path) and named.is_file():
        return named
    raise InputError(
        f"recipe {name_or_path!r}: must be a YAML file's path or one of "
        f"{', '.join(list_recipes())}{_near(name_or_path, list_recipes())}"
    )


def recipe_header(name: str) -> dict[str, str]:
    """The header comment of a recipe: source, command, hardware, time, expected."""
    header = {}
    for line in find_recipe(name).read_text(encoding="utf-8").splitlines():
        key, separator, text = line.lstrip("# ").partition(":")
        if not line.startswith("#") or not separator:
            break
        header[key.strip()] = text.strip()
    return header


def index() -> dict[str, dict[str, Any]]:
    """The index of the package weights: file, sha256, recipe, metric, command, licence."""
    path = WEIGHTS / "index.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def list_models() -> list[str]:
    """Names of the pretrained models in the package, for `load`."""
    return sorted(name for name, entry in index().items() if (WEIGHTS / entry["file"]).is_file())


def metadata(name_or_path: str | Path) -> dict[str, Any]:
    """The origin recorded in a model's file; empty if tfzoo's runner did not write it.

    Args:
        name_or_path: see `load`.

    Returns:
        `recipe`, its name; `config`, the resolved YAML; `info`, the fields of `tfzoo.data.Info`:
        names of `classes`, range and statistics of the input, version of the data.

    Raises:
        InputError: see `load`.
    """
    path = _file_of(str(name_or_path))[0]
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("metadata.json")).get("tfzoo", {})
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"model {str(name_or_path)!r}: {str(path)!r} is not a .keras file"
        ) from error


def write_metadata(path: str | Path, about: dict[str, Any]) -> None:
    """Writes the result of `metadata` into a `.keras` file, leaving its other parts unchanged."""
    rewrite(path, "metadata.json", {"tfzoo": about})


def rewrite(path: str | Path, name: str, values: dict[str, Any]) -> None:
    """Sets keys of a JSON part of a `.keras` file, leaving its other parts unchanged."""
    with (
        replacing(path) as aside,
        zipfile.ZipFile(path) as old,
        zipfile.ZipFile(aside, "w") as new,
    ):
        for part in old.infolist():
            if part.filename == name:
                new.writestr(part, json.dumps(json.loads(old.read(part)) | values))
            else:
                with old.open(part) as source, new.open(part, "w") as target:
                    shutil.copyfileobj(source, target)


def load(
    name_or_path: str | Path, sha256: str | None = None, *, compile: bool = True
) -> keras.Model:
    """Loads a trained model.

    Args:
        name_or_path: a name of `list_models()` (package weights), a local path to a `.keras`
            file or to a run directory that has `model.keras`, or
            `hf://owner/repository/path/to/model.keras` (needs `huggingface_hub` and a network).
        sha256: if given, the file's digest must equal it; package weights are always checked.
        compile: whether to compile the model as for its training. Package weights keep optimizer,
            loss and metrics, but not the optimizer's state: `fit` starts with a fresh one.
            `uwac/pointmass` has no Keras loss: its `fit` and `evaluate` raise.

    Returns:
        The model. Metrics named by both its `evaluate` and `tfzoo evaluate` are equal, except for
        losses: Keras's is the training loss, `tfzoo evaluate`'s that of the predictions.

    Raises:
        InputError: there is no such model (the message lists valid forms and near matches), or the
            digest differs.
    """
    import keras

    name = str(name_or_path)
    path, known = _file_of(name)
    sha256 = sha256 or known
    if sha256 is not None and (actual := digest(path)) != sha256.lower():
        raise InputError(f"model {name!r}: sha256 of {str(path)!r} is {actual}, must be {sha256}")
    try:
        with warnings.catch_warnings():
            # 0: package weights lack the state on purpose; 1 or 2: compiled, but never fitted
            text = r".*the saved optimizer has [012] variables"
            warnings.filterwarnings("ignore", text, UserWarning)
            return keras.models.load_model(path, compile=compile, safe_mode=True)
    except Exception as error:  # errors of zipfile, h5py, json, or any layer's constructor
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"model {name!r}: {str(path)!r} cannot be loaded: {first}") from error


def _file_of(name: str) -> tuple[Path, str | None]:
    """The `.keras` file of a name or path, and its digest if it is a package weight."""
    if name.startswith("hf://"):
        return _download(name), None
    if name in index():
        entry = index()[name]
        return WEIGHTS / entry["file"], entry["sha256"]
    path = Path(expanded(name))
    path = path / "model.keras" if path.is_dir() else path
    if path.suffix != ".keras" or not path.is_file():
        raise InputError(
            f"model {name!r}: must be one of {', '.join(list_models()) or '(no weights yet)'}, "
            "a path to a .keras file or run directory, or hf://owner/repository/file.keras"
            f"{_near(name, list_models())}"
        )
    return path, None


def digest(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        state = hashlib.sha256()
        while block := file.read(1 << 20):
            state.update(block)
        return state.hexdigest()


def _download(name: str) -> Path:
    owner, _, rest = name.removeprefix("hf://").partition("/")
    repository, _, file = rest.partition("/")
    if not (owner and repository and file.endswith(".keras")):
        raise InputError(f"model {name!r}: must be hf://owner/repository/path/to/model.keras")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise InputError(f"model {name!r}: needs `pip install huggingface_hub`") from None
    try:
        return Path(hf_hub_download(f"{owner}/{repository}", file))
    except Exception as error:  # hub, network and cache errors share no base
        raise InputError(f"model {name!r}: {str(error).splitlines()[0]}") from error


def _near(name: str, names: list[str]) -> str:
    matches = difflib.get_close_matches(name, names, n=3)
    return f"; did you mean {' or '.join(matches)}?" if matches else ""
