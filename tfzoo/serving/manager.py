"""Life cycle of model versions: a thread watches their folders, loads, warms up and unloads.

States are those of TensorFlow Serving: START, LOADING, AVAILABLE, UNLOADING, END. A request never
loads anything. A new version is loaded and warmed up in the background; the old one answers
until it is available. A version that fails is retried after increasing waits, and at once when
its folder changes.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfzoo.errors import InputError
from tfzoo.serving.config_files import Batching, ModelConfig, read_models
from tfzoo.serving.errors import RequestFailed, code_of, first_line
from tfzoo.serving.memory import give_back
from tfzoo.serving.options import ServerOptions
from tfzoo.serving.servable import Servable
from tfzoo.serving.warmup import warm_up
from tfzoo.serving.writer import versions

log = logging.getLogger(__name__)

UNLOAD_SECONDS = 60.0
"""Seconds to wait for a version's last requests before it is closed regardless."""

LONGEST_RETRY = 600.0
REMEMBERED = 50
"""How many ended versions of a model keep their states."""


@dataclass(frozen=True)
class State:
    """The reported state of a version.

    Attributes:
        name: START, LOADING, AVAILABLE, UNLOADING or END.
        code: `"OK"`, or the status code's name of the error that ended it.
        message: the error's message, in one line.
    """

    name: str
    code: str = "OK"
    message: str = ""


@dataclass
class _Version:
    state: State = State("START")
    servable: Servable | None = None
    fingerprint: object = None
    tries: int = 0
    retry_at: float = 0.0


class _Model:
    def __init__(self, config: ModelConfig):
        self.config = config
        self.versions: dict[int, _Version] = {}

    def available(self) -> list[int]:
        return [n for n, v in self.versions.items() if v.state.name == "AVAILABLE"]


class Manager:
    """The models of a server, by name; `close` ends its thread.

    Args:
        models: what is served.
        options: the server's options.
        joining: how requests are batched; None: not at all.
        on_warm_up: called with the folder of a version and the seconds that its warm-up took.
    """

    def __init__(
        self,
        models: Sequence[ModelConfig],
        options: ServerOptions,
        joining: Batching | None = None,
        config_file: str = "",
        on_warm_up: Callable[[Path, float], None] = lambda folder, seconds: None,
    ):
        self._options = options
        self._joining = joining
        self._config_file = config_file
        self._on_warm_up = on_warm_up
        self._lock = threading.Lock()  # guards the tables; never held while loading
        self._models = {config.name: _Model(config) for config in models}
        self._leaving: list[_Model] = []  # no longer configured, still to be unloaded
        self._wake = threading.Event()
        self._closing = False
        self._asked = self._looked = 0  # polls requested, and polls done
        self._passed = threading.Condition()
        self._config_read = time.monotonic()
        self._thread = threading.Thread(target=self._live, name="versions", daemon=True)
        self._thread.start()

    # what requests look up

    @contextlib.contextmanager
    def use(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> Iterator[Servable]:
        """A loaded version, the newest by default, held while it is in use.

        Raises:
            RequestFailed: there is no such model, version or label.
        """
        with self._lock:
            model = self._models.get(name)
            if label is not None:
                version = self._of_label(model, label)
            asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            numbers = model.available() if model else []
            number = max(numbers, default=None) if version is None else version
            servable = None
            if model is not None and number in numbers:
                servable = model.versions[number].servable
            if servable is None:
                raise RequestFailed("NOT_FOUND", f"Servable not found for request: {asked}")
            servable.acquire()
        try:
            yield servable
        finally:
            servable.release()

    def states(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> dict[int, State]:
        """The states of a model's versions, or of one version.

        Raises:
            RequestFailed: there is no such model, version or label.
        """
        with self._lock:
            model = self._models.get(name)
            if label is not None:
                version = self._of_label(model, label)
            known = {n: v.state for n, v in model.versions.items()} if model else {}
        if version is not None:
            if version not in known:
                raise RequestFailed(
                    "NOT_FOUND", f"Could not find version {version} of model {name}"
                )
            return {version: known[version]}
        if not known:
            raise RequestFailed("NOT_FOUND", f"Could not find any versions of model {name}")
        return known

    def _of_label(self, model: _Model | None, label: str) -> int:
        number = model.config.labels.get(label) if model else None
        ready = model is not None and number in model.available()
        if number is None or not (
            ready or self._options.allow_version_labels_for_unavailable_models
        ):
            raise RequestFailed("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
        return number

    def names(self) -> list[str]:
        """The models that are served."""
        with self._lock:
            return list(self._models)

    # called by the server

    def configure(self, models: Sequence[ModelConfig]) -> None:
        """Replaces the served models; those that stay keep their loaded versions."""
        with self._lock:
            before, self._models = self._models, {}
            for config in models:
                model = before.pop(config.name, None)
                if model is None or model.config.folder != config.folder:
                    if model is not None:
                        self._leaving.append(model)
                    model = _Model(config)
                model.config = config
                self._models[config.name] = model
            self._leaving += before.values()
        self._wake.set()

    def wait(self, timeout: float | None = None) -> None:
        """Waits until loading every version present now has been attempted.

        Raises:
            InputError: no version of a model can be loaded.
        """
        with self._passed:
            self._asked += 1
            goal = self._asked
            self._wake.set()
            self._passed.wait_for(lambda: self._looked >= goal or self._closing, timeout)
        with self._lock:
            for name, model in self._models.items():
                if not model.available():
                    reasons = "; ".join(
                        f"{number}: {version.state.message or version.state.name}"
                        for number, version in sorted(model.versions.items())
                    )
                    raise InputError(
                        f"model {name!r}: no version can be loaded: "
                        f"{reasons or f'{str(model.config.folder)!r} holds none'}"
                    )

    def close(self) -> None:
        """Ends the thread and closes all versions; requests must have ended."""
        self._closing = True
        self._wake.set()
        with self._passed:
            self._passed.notify_all()
        self._thread.join()
        for model in [*self._models.values(), *self._leaving]:
            for version in model.versions.values():
                if version.servable is not None:
                    version.servable.close(timeout=1.0)

    # the thread

    def _live(self) -> None:
        while not self._closing:
            self._wake.clear()
            with self._passed:
                asked = self._asked
            try:
                self._read_config()
                self._look()
                give_back()
            except Exception:  # the next poll may succeed; the thread must not end
                log.exception("polling the models failed")
            with self._passed:
                self._looked = asked
                self._passed.notify_all()
            waits = [self._options.file_system_poll_wait_seconds]
            if self._config_file:
                waits.append(self._options.model_config_file_poll_wait_seconds)
            self._wake.wait(min(filter(None, waits), default=None))

    def _read_config(self) -> None:
        wait, now = self._options.model_config_file_poll_wait_seconds, time.monotonic()
        if self._config_file and wait and now - self._config_read >= wait:
            self._config_read = now
            try:
                self.configure(read_models(self._config_file))
                self._wake.clear()
            except InputError as error:
                log.error("the configuration is not applied: %s", error)

    def _look(self) -> None:
        with self._lock:
            models, leaving = list(self._models.values()), self._leaving
        for model in models:
            try:
                wanted = model.config.wanted(versions(model.config.folder))
            except OSError as error:
                log.warning("%s: %s", model.config.folder, error)
                continue
            for number, folder in wanted.items():
                if self._closing:
                    return
                self._load_if_due(model, number, folder)
            ready = set(model.available())
            if ready & wanted.keys() or not wanted:  # otherwise the old one is better than none
                for number in ready - wanted.keys():
                    self._unload(model, number)
            self._forget(model, wanted)
        for model in leaving:
            for number in model.available():
                self._unload(model, number)
            with self._lock:
                self._leaving.remove(model)

    def _load_if_due(self, model: _Model, number: int, folder: Path) -> None:
        with self._lock:
            version = model.versions.setdefault(number, _Version())
        if version.state.name == "AVAILABLE":
            return
        fingerprint = _fingerprint(folder)
        if fingerprint != version.fingerprint:
            version.tries, version.retry_at = 0, 0.0
        over = version.tries > self._options.max_num_load_retries
        if over or time.monotonic() < version.retry_at:
            return
        version.fingerprint = fingerprint
        version.tries += 1
        self._set(version, State("LOADING"))
        name = model.config.name
        try:
            servable = self._load(name, number, folder)
        except Exception as error:  # a broken version must not affect the others
            wait = self._options.load_retry_interval_micros / 1e6 * 2 ** (version.tries - 1)
            version.retry_at = time.monotonic() + min(wait, LONGEST_RETRY)
            message = first_line(error)
            log.warning("model %s, version %d cannot be loaded: %s", name, number, message)
            self._set(version, State("END", code_of(error), message))
        else:
            with self._lock:
                version.servable = servable
                version.state = State("AVAILABLE")
            log.info("model %s, version %d is available", name, number)

    def _load(self, name: str, number: int, folder: Path) -> Servable:
        servable = Servable(name, number, folder, self._joining)
        try:
            if self._options.enable_model_warmup:
                start = time.perf_counter()
                if warm_up(servable, folder):
                    self._on_warm_up(folder, time.perf_counter() - start)
        except BaseException:
            servable.close()
            raise
        return servable

    def _unload(self, model: _Model, number: int) -> None:
        version = model.versions[number]
        with self._lock:
            servable, version.servable = version.servable, None
            version.state = State("UNLOADING")
            version.fingerprint, version.tries = None, 0
        if servable is not None:
            servable.close(UNLOAD_SECONDS)
        self._set(version, State("END"))

    def _forget(self, model: _Model, wanted: dict[int, Path]) -> None:
        """Forgets failed versions whose folder is gone, and all but the last ended ones."""
        with self._lock:
            ended = [
                number
                for number, version in sorted(model.versions.items(), reverse=True)
                if version.state.name == "END" and number not in wanted
            ]
            failed = [n for n in ended if model.versions[n].state.code != "OK"]
            for number in {*failed, *ended[REMEMBERED:]}:
                del model.versions[number]

    def _set(self, version: _Version, state: State) -> None:
        with self._lock:
            version.state = state


def _fingerprint(folder: Path) -> object:
    """A fingerprint of a version's folder that changes when it is completed or replaced."""
    entries = []
    with contextlib.suppress(OSError):  # a folder that is being deleted: the next poll sees the end
        for path in sorted(folder.rglob("*")):
            status = path.stat()
            entries.append((str(path), status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(entries)
