"""What `tfzoo bench aft` compares with PyTorch: layers, generation, a classifier's training step.

The networks in PyTorch have as many parameters as ours, by the width of their feed-forward layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from tfzoo.experiments import peers

HEADS = {"attention": 8, "generation": 4, "classifier": 3}
"""Heads of PyTorch's attention: as Keras's in the bench, 24 channels each, and DeiT-tiny's."""
GENERATOR, CLASSIFIER = "aft/pydoc", "aft/imagenet_tiny"
SYMBOLS, CLASSES = 256, 1000


def build_attention(
    batch: int, length: int, dim: int, precision: str, causal: bool = False
) -> Callable[[], None]:
    """A forward and backward pass of multi-head attention on [batch, length, dim] in PyTorch.

    It is `scaled_dot_product_attention` between linear layers, with gradients of all weights.
    """
    torch = peers.import_torch()
    x = torch.randn(batch, length, dim)
    return peers.torch_pass(_attention(dim, HEADS["attention"], causal), x, precision)


def _attention(dim: int, heads: int, causal: bool) -> Any:
    from torch import Tensor, nn
    from torch.nn.functional import scaled_dot_product_attention

    class Attention(nn.Module):
        """[B, T, D] -> [B, T, D]; `step` takes one position, with the keys and values so far."""

        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(dim, 3 * dim)
            self.out = nn.Linear(dim, dim)

        def _heads(self, x: Tensor) -> Any:
            """[B, T, D] -> 3 of [B, H, T, D/H]"""
            return self.project(x).view(*x.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)

        def _joined(self, y: Tensor) -> Tensor:
            return self.out(y.transpose(1, 2).flatten(2))

        def forward(self, x: Tensor) -> Tensor:
            return self._joined(scaled_dot_product_attention(*self._heads(x), is_causal=causal))

        def step(self, x: Tensor, held: Tensor, position: int) -> Tensor:
            """x [B, 1, D]; held [2, B, H, T, D/H], which gets this position's key and value."""
            query, *new = self._heads(x)
            for buffer, row in zip(held, new, strict=True):
                buffer[:, :, position] = row[:, :, 0]
            keys, values = held[:, :, :, : position + 1]
            return self._joined(scaled_dot_product_attention(query, keys, values))

    return Attention()


def build_generation(
    name: str, size: int, batch: int, xla: bool = False, overrides: tuple[str, ...] = ()
) -> Callable[[], None]:
    """Draws `size` tokens for each of `batch` rows, one after another; float32.

    Ours is `aft/pydoc`'s network with weights at their start, its `generate` as a graph.
    PyTorch's has attention with a cache of keys and values, and draws by `multinomial`.

    Args:
        name: `ours` or `torch`.
        size: tokens to draw.
        batch: rows.
        xla: compiles ours by XLA.
        overrides: of the recipe's keys, for a smaller network.
    """
    import numpy as np
    import tensorflow as tf

    from tfzoo import runner
    from tfzoo.aft import AFTLanguageModel

    words = [f"model.max_length={size + 1}", *overrides]
    config = runner.resolve(GENERATOR, words).config.model
    model = AFTLanguageModel(**asdict(config))
    if name == "torch":
        return _torch_generation(config, model.count_params(), size, batch)
    run = tf.function(model.generate, jit_compile=xla)
    given = [np.full(batch, value, "int32") for value in (size, 1)]
    prompt, seed = np.full((batch, 1), 10, "int32"), np.arange(batch, dtype="int32")
    inputs = [tf.constant(v) for v in (prompt, given[0], given[1].astype("float32"), seed)]

    def generate() -> None:
        assert (run(*inputs).numpy()[:, :size] >= 0).all()

    return generate


def _torch_generation(config: Any, count: int, length: int, batch: int) -> Callable[[], None]:
    torch = peers.import_torch()

    def make(hidden: int) -> Any:
        heads = HEADS["generation"]
        return _decoder(SYMBOLS, config.max_length, config.dim, config.depth, heads, hidden)

    model = make(peers.matched(make, count)).eval()

    @torch.inference_mode()
    def generate() -> None:
        token = torch.full((batch,), 10)
        held = model.cache(batch)
        for position in range(length):
            logits = model.step(token, held, position)
            token = torch.multinomial(logits.softmax(-1), 1)[:, 0]
        token.tolist()

    return generate


def _decoder(symbols: int, length: int, dim: int, depth: int, heads: int, hidden: int) -> Any:
    torch = peers.import_torch()
    from torch import Tensor, nn

    class Decoder(nn.Module):
        """A transformer of symbols as ours, with attention, that decodes step by step."""

        def __init__(self) -> None:
            super().__init__()
            norm = lambda: nn.LayerNorm(dim, 1e-6)  # noqa: E731
            self.embedding = nn.Embedding(symbols, dim)
            self.positions = nn.Embedding(length, dim)
            self.mixers = nn.ModuleList(_attention(dim, heads, True) for _ in range(depth))
            self.before = nn.ModuleList(norm() for _ in range(depth))
            self.feeds = nn.ModuleList(
                nn.Sequential(norm(), nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
                for _ in range(depth)
            )
            self.head = nn.Sequential(norm(), nn.Linear(dim, symbols))

        def cache(self, batch: int) -> list[Tensor]:
            """Keys and values of each block, [2, B, H, T, D/H]."""
            shape = (2, batch, heads, length, dim // heads)
            return [torch.zeros(shape) for _ in self.mixers]

        def step(self, token: Tensor, held: list[Tensor], position: int) -> Tensor:
            """Tokens [B] at a position -> logits [B, symbols]."""
            x = (self.embedding(token) + self.positions.weight[position])[:, None]
            for norm, mixer, feed, keys in zip(
                self.before, self.mixers, self.feeds, held, strict=True
            ):
                x = x + mixer.step(norm(x), keys, position)
                x = x + feed(x)
            return self.head(x[:, 0])

    return Decoder()


def build_step(
    name: str,
    variant: str,
    size: int,
    batch: int,
    precision: str,
    xla: bool = False,
    overrides: tuple[str, ...] = (),
) -> Callable[[], None]:
    """A training step by AdamW of `aft/imagenet_tiny`, or of torchvision's ViT of equal size.

    Args:
        name: `ours` or `torch`.
        variant: of ours, to which the ViT's number of parameters is matched.
        size: side of the images.
        batch: images.
        precision: `float32` or `mixed_bfloat16`.
        xla: compiles ours by XLA.
        overrides: of the recipe's keys, for a smaller network.
    """
    import keras
    import numpy as np

    from tfzoo import runner
    from tfzoo.aft import AFTClassifier
    from tfzoo.optim import make_adamw

    words = [f"model.variant={variant}", f"model.image_size={size}", *overrides]
    words.append("model.drop_path=0")  # the ViT has none
    config = runner.resolve(CLASSIFIER, words).config
    torch = name == "torch"
    keras.config.set_dtype_policy("float32" if torch else precision)
    settings = asdict(config.model) | {"pixel_mean": 127.5, "pixel_std": 127.5}
    model = AFTClassifier(num_classes=CLASSES, **settings)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (batch, size, size, 3)).astype("float32")
    y = rng.integers(0, CLASSES, batch)
    if torch:
        return _torch_vit(config.model, model.count_params(), x, y, precision)
    x, y = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)
    return peers.keras_step(model, make_adamw(config.optimizer, 100_000), x, y, xla)


def _torch_vit(config: Any, count: int, x: Any, y: Any, precision: str) -> Callable[[], None]:
    torch = peers.import_torch()
    from torchvision.models import VisionTransformer

    def make(hidden: int) -> Any:
        heads = HEADS["classifier"]
        sizes = (config.image_size, config.patch_size, config.depth, heads, config.dim, hidden)
        return VisionTransformer(*sizes, num_classes=CLASSES)

    model = make(peers.matched(make, count))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.05, fused=True)
    pixels = torch.from_numpy(x / 127.5 - 1).permute(0, 3, 1, 2).contiguous()
    return peers.torch_step(model, optimizer, pixels, torch.from_numpy(y), precision)
