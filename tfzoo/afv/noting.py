"""Records the inputs of a model's layers, by replacing their `call` for one pass."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from tfzoo.afv.closed_forms import DenseForm, SlowForm, closed_form
from tfzoo.typing import Shape

Form = DenseForm | SlowForm
"""How a layer's gradients are computed."""


@dataclass(frozen=True)
class Use:
    """One call of a layer with parameters.

    Attributes:
        form: form of its gradients.
        a: the input [B, ...].
        s: the tensor that the form differentiates by: the pre-activation, or a slow layer's output.
    """

    form: Form
    a: tf.Tensor
    s: tf.Tensor


@dataclass
class Plan:
    """Which layers are recorded, and which variables no layer accounts for.

    Attributes:
        forms: forms of the layers, in order; a `SlowForm` here is a template for its uses.
        boxes: ids of slow layers that also cover their sublayers: recurrent layers, whose cells run
            in a loop where nothing can be recorded.
        whole: ids of variables that need tapes through the whole model: those of layers called with
            several tensors, or used in loops outside any box.
        scratch: approximate numbers per example besides its gradients: activations, their
            gradients, and the largest work space of a form.
    """

    forms: list[Form] = field(default_factory=list)
    boxes: set[int] = field(default_factory=set)
    whole: set[int] = field(default_factory=set)
    scratch: int = 0

    @contextlib.contextmanager
    def noting(self, tape: tf.GradientTape) -> Iterator[list[Use]]:
        """Inside the block, appends the layers' uses, watched by `tape`, to the given list."""
        noted: list[Use] = []
        inside = [0]  # boxes currently being called
        calls = [(form.layer, self._call(form, tape, noted, inside)) for form in self.forms]
        with _replaced(calls):
            yield noted

    def _call(
        self, form: Form, tape: tf.GradientTape, noted: list[Use], inside: list[int]
    ) -> Callable:
        original, layer = form.layer.call, form.layer

        def slow(*arguments: Any, **keywords: Any) -> Any:
            if inside[0] or not one_tensor(arguments, keywords):
                return original(*arguments, **keywords)
            inside[0] += id(layer) in self.boxes
            try:
                y = original(*arguments, **keywords)
            finally:
                inside[0] -= id(layer) in self.boxes
            tape.watch(y)
            x, *rest = arguments
            noted.append(Use(SlowForm(layer, form.variables(), rest, keywords), x, y))
            return y

        if isinstance(form, SlowForm):
            return slow
        fast_form = form

        def fast(x: tf.Tensor, *rest: Any, **keywords: Any) -> tf.Tensor:
            if inside[0]:
                return original(x, *rest, **keywords)
            s = fast_form.linear(x)
            tape.watch(s)
            noted.append(Use(fast_form, x, s))
            return fast_form.finish(s)

        return fast


def make_plan(
    model: keras.Model, variables: Sequence[keras.Variable], pass_through: Callable[[], Any]
) -> Plan:
    """Determines how the gradients by each variable can be computed.

    Args:
        model: the model whose layers are examined.
        variables: the variables to differentiate by.
        pass_through: calls the model once, while it is traced.
    """
    wanted = {id(v): v for v in variables}
    layers = list({id(layer): layer for layer in model._flatten_layers()}.values())
    scout = _Scout(model, [(layer, _own(layer, wanted)) for layer in layers])
    with _replaced([(layer, scout.call(layer)) for layer in scout.layers]):
        pass_through()
    plan = Plan(boxes=scout.boxes, whole=scout.whole)
    for layer, own in zip(scout.layers, scout.own, strict=True):
        if id(layer) in scout.boxes:
            nested = [v for v in layer.variables if id(v) in wanted]
            plan.forms.append(SlowForm(layer, nested))
        elif own and id(layer) in scout.noting and not own <= scout.whole:
            slow = SlowForm(layer, [wanted[i] for i in own])
            plan.forms.append(closed_form(layer) or slow)
    covered = {id(v) for form in plan.forms for v in form.variables()}
    plan.whole |= set(wanted) - covered
    forms = {id(form.layer): form for form in plan.forms}
    seen = [(forms[i], a, y) for i, a, y in scout.seen if i in forms]
    space = [form.scratch((1, *a)) for form, a, _ in seen]
    plan.scratch = 4 * sum(_size(a) + _size(y) for _, a, y in seen) + max(space, default=0)
    return plan


class _Scout:
    """Follows one pass: which layers are called with one tensor, and which ones in loops."""

    def __init__(self, model: keras.Model, layers: Sequence[tuple[keras.layers.Layer, set[int]]]):
        self.model = model
        self.layers, self.own = [layer for layer, _ in layers], [own for _, own in layers]
        self.inside: list[tuple[keras.layers.Layer, bool]] = []
        self.seen: list[tuple[int, Shape, Shape]] = []  # layer, its input's and output's shapes
        self.noting: set[int] = set()
        self.boxes: set[int] = set()
        self.whole: set[int] = set()
        self.root = None

    def call(self, layer: keras.layers.Layer) -> Callable:
        original, own = layer.call, self.own[self.layers.index(layer)]

        def call(*arguments: Any, **keywords: Any) -> Any:
            graph = tf.compat.v1.get_default_graph()
            if not self.inside:  # the model itself comes first
                self.root = graph
            fits = graph is self.root and one_tensor(arguments, keywords)
            if own and fits and layer is not self.model:
                self.noting.add(id(layer))
            elif own:
                self._climb(own)
            self.inside.append((layer, fits))
            try:
                y = original(*arguments, **keywords)
            finally:
                self.inside.pop()
            if not tf.is_tensor(y):
                if id(layer) in self.boxes:
                    self.boxes.remove(id(layer))
                    self._climb({id(v) for v in layer.variables})
                elif id(layer) in self.noting:
                    self._climb(own)
            elif fits:
                self.seen.append((id(layer), arguments[0].shape[1:], y.shape[1:]))
            return y

        return call

    def _climb(self, own: set[int]) -> None:
        """Makes the nearest suitable enclosing layer a box."""
        for layer, fits in reversed(self.inside):
            if fits and layer is not self.model:
                self.boxes.add(id(layer))
                return
        self.whole |= own


def one_tensor(arguments: Sequence[Any], keywords: dict[str, Any]) -> bool:
    """Whether a layer is called with a tensor as its first argument only."""
    first, *others = arguments if arguments else [None]
    rest = keras.tree.flatten([others, list(keywords.values())])
    return tf.is_tensor(first) and not any(tf.is_tensor(x) for x in rest)


def _size(shape: Shape) -> int:
    return math.prod(n or 1 for n in shape)


def _own(layer: keras.layers.Layer, wanted: dict[int, keras.Variable]) -> set[int]:
    """The wanted variables of a layer that do not belong to its sublayers.

    A wrapper such as `SpectralNormalization` also holds its layer's kernel, which counts once.
    """
    below = layer._flatten_layers(include_self=False)
    nested = {id(v) for inner in below for v in _kept(inner)}
    return {id(v) for v in _kept(layer) if id(v) in wanted and id(v) not in nested}


def _kept(layer: keras.layers.Layer) -> list[keras.Variable]:
    return [*layer._trainable_variables, *layer._non_trainable_variables]


@contextlib.contextmanager
def _replaced(calls: Sequence[tuple[keras.layers.Layer, Callable]]) -> Iterator[None]:
    """Replaces the layers' `call`, bypassing Keras's tracking of attributes."""
    before = [(layer, vars(layer).get("call")) for layer, _ in calls]
    for layer, call in calls:
        vars(layer)["call"] = call
    try:
        yield
    finally:
        for layer, own in before:
            if own is None:
                del vars(layer)["call"]
            else:
                vars(layer)["call"] = own
