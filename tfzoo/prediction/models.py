"""A model to run on a user's files: a trained one in this process, or one on a server."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfzoo import registry, runner
from tfzoo.config import check
from tfzoo.errors import InputError, first_line
from tfzoo.files import expanded, read_npz
from tfzoo.prediction.inputs import Arrays, InputFile, Specs, batches, choose, in_its_name
from tfzoo.prediction.outputs import SUFFIXES, Answers
from tfzoo.recipe import Recipe
from tfzoo.serving import Signature
from tfzoo.serving.client import RequestError, RestClient, spec_of

_URL = re.compile(r"(https?://[^?#]+)/v1/models/([^/:?#]+)(?:/versions/(\d+))?/?")
_REFUSED = 400
"""HTTP status of an invalid request."""


@dataclass(frozen=True)
class Endpoint:
    """One signature of a model.

    Attributes:
        inputs: specs by name.
        batched: whether rows of several files may share a call.
        ask: maps arrays by input name to arrays by output name.
    """

    inputs: Specs
    batched: bool
    ask: Callable[[Arrays], Mapping[str, Any]]


@dataclass(frozen=True)
class Model:
    """A model that can be called.

    Attributes:
        name: as the user called it.
        endpoints: endpoints by signature name.
        formats: suffixes of the files, other than array formats, that `save` writes.
        save: (the user's arrays by name, path) -> None.
        save_folder: (a folder of the user's, path) -> None.
    """

    name: str
    endpoints: Mapping[str, Endpoint]
    formats: tuple[str, ...] = ()
    save: Callable[[Arrays, str], None] | None = None
    save_folder: Callable[[str, str], None] | None = None

    def answer(
        self, files: Sequence[InputFile], signature: str | None, size: int, suffix: str
    ) -> Answers:
        """Runs the model on all files.

        Args:
            files: at least one.
            signature: the user's choice; None picks the one that takes the files.
            size: rows of a call at most.
            suffix: suffix of the output file.

        Raises:
            InputError: no signature takes the files, a file is corrupt, or the server refuses.
        """
        name = choose({key: e.inputs for key, e in self.endpoints.items()}, files, signature)
        endpoint, answers = self.endpoints[name], Answers(suffix)
        for owners, arrays in batches(files, endpoint.inputs, size, endpoint.batched):
            answers.add(owners, _asked(endpoint, owners, arrays), endpoint.batched)
        return answers

    def write(self, words: Sequence[str], path: str) -> None:
        """Writes a file in one of the model's own formats, from one `.npz` or one folder.

        Args:
            words: the user's input words.
            path: path of the file.

        Raises:
            InputError: the model has no such format, or the input does not fit.
        """
        allowed = ", ".join((*SUFFIXES, *self.formats))
        fits = self.save is not None and Path(path).suffix.lower() in self.formats
        check(fits, "--output", path, f"a name that ends in {allowed}, for {self.name}")
        given = [Path(expanded(word)) for word in words]
        single = len(given) == 1 and (given[0].is_dir() or given[0].suffix.lower() == ".npz")
        says = "one .npz or one folder for such an output"
        check(single, "input", ", ".join(map(str, given)), says)
        assert self.save is not None and self.save_folder is not None  # checked above
        try:
            if given[0].is_dir():
                self.save_folder(str(given[0]), path)
            else:
                self.save(read_npz(given[0], "input"), path)
        except InputError as error:
            raise InputError(in_its_name(given[0], error)) from None


def check_output(path: str | None) -> str:
    """The suffix of the output file; `.json` if there is none.

    Raises:
        InputError: no recipe writes such files.
    """
    if path is None:
        return ".json"
    recipes: list[type[Recipe]] = [registry.get_task(name) for name in registry.tasks()]
    known = dict.fromkeys((*SUFFIXES, *(f for recipe in recipes for f in recipe.formats)))
    suffix = Path(path).suffix.lower()
    check(suffix in known, "--output", path, f"a name that ends in {', '.join(known)}")
    return suffix


def open_model(target: str, recipe: str | None = None) -> Model:
    """Opens the model of a run, a package weight, a `.keras` file or a URL.

    Args:
        target: the user's word; for a server, `http://HOST:PORT/v1/models/NAME`, optionally
            followed by `/versions/NUMBER`.
        recipe: recipe of a `.keras` file that does not record its own.

    Raises:
        InputError: there is no such model, or no server.
    """
    if target.startswith(("http://", "https://")):
        return _served(target)
    model, resolved = runner.open_trained(target, recipe)
    signatures = resolved.recipe.signatures(model, resolved.info)
    classes = resolved.info.classes if resolved.info is not None and resolved.info.has_names else ()
    return Model(
        target,
        {name: _local(signature, classes) for name, signature in signatures.items()},
        resolved.recipe.formats,
        lambda arrays, path: resolved.recipe.save_answer(model, arrays, path),
        lambda folder, path: resolved.recipe.save_folder(model, folder, path),
    )


def _local(signature: Signature, classes: Sequence[str]) -> Endpoint:
    def ask(arrays: Arrays) -> Mapping[str, Any]:
        import tensorflow as tf

        try:
            outputs = signature(**arrays)
        except (ValueError, tf.errors.OpError) as error:
            raise InputError(first_line(error)) from error
        if classes and "classes" in outputs and "labels" not in outputs:
            return {**outputs, "labels": np.array(classes)[outputs["classes"]]}
        return outputs

    return Endpoint(signature.inputs, signature.batched, ask)


def _served(url: str) -> Model:
    parts = _URL.fullmatch(url)
    if parts is None:
        raise InputError(
            f"model {url!r}: must be http://HOST:PORT/v1/models/NAME, or that and /versions/NUMBER"
        )
    client, name = RestClient(parts[1]), urllib.parse.unquote(parts[2])
    version = None if parts[3] is None else int(parts[3])

    def endpoint(signature: str, tables: Mapping[str, Mapping[str, Any]]) -> Endpoint:
        shapes = [about["shape"] for part in tables.values() for about in part.values()]
        return Endpoint(
            {key: spec_of(key, about) for key, about in tables["inputs"].items()},
            all(shape is None or shape[:1] == [None] for shape in shapes),
            lambda arrays: client.predict(name, arrays, signature, version),
        )

    metadata = client.metadata(name, version)
    return Model(url, {key: endpoint(key, tables) for key, tables in metadata.items()})


def _asked(endpoint: Endpoint, files: Sequence[str], arrays: Arrays) -> Mapping[str, Any]:
    """Runs a batch; if it is refused, retries row by row to tell which file is at fault."""
    try:
        return endpoint.ask(arrays)
    except InputError as error:
        if isinstance(error, RequestError) and error.code != _REFUSED:
            raise
        if len(files) == 1:
            raise InputError(in_its_name(files[0], error)) from error
        for i, file in enumerate(files):
            _asked(endpoint, [file], {name: value[i : i + 1] for name, value in arrays.items()})
        raise
