"""Losses of discriminator and generator, as functions of D's outputs on both kinds of images.

All are float32 scalars. D's output o is high on real images: log p = o up to a constant.
"""

from __future__ import annotations

from typing import Annotated

from keras import ops

from tfzoo.afv.networks import HEADS, binary_entropy
from tfzoo.config import OneOf, check
from tfzoo.training import replicas
from tfzoo.typing import Tensor

OBJECTIVES = ("lsgan", "hinge", "vgan")
"""`lsgan`: the official code's, with a sigmoid head. `hinge`: with a raw logit. `vgan`: with
experts."""
Objective = Annotated[str, OneOf(*OBJECTIVES)]
Head = Annotated[str, OneOf(*HEADS)]
HEAD_OF = {"lsgan": ("sigmoid", "logit"), "hinge": ("logit",), "vgan": ("experts",)}
"""Heads that suit an objective: the hinge of a sigmoid never reaches its margin."""
DEFAULT_HEAD = {name: heads[0] for name, heads in HEAD_OF.items()}


def check_head(objective: str, head: str) -> None:
    """Raises `InputError` unless the head suits the objective."""
    allowed = HEAD_OF[objective]
    check(head in allowed, "head", head, f"one of {', '.join(allowed)} for objective={objective}")


def _float(x: Tensor) -> Tensor:
    return ops.cast(x, "float32")


def discriminator_loss(objective: str, real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss.

    Args:
        objective: `lsgan`: mean (o_r - 1)^2 + mean o_f^2. `hinge`: mean relu(1 - o_r) + mean
            relu(1 + o_f). `vgan`: E(real) - E(fake) - H(real), see `marginal_entropy`.
        real: D's output [B, 1] on real images; experts' probabilities [B, K] under `vgan`.
        fake: the same on generated ones.

    Returns:
        A scalar, float32.
    """
    real, fake = _float(real), _float(fake)
    if objective == "lsgan":
        return ops.mean(ops.square(real - 1)) + ops.mean(ops.square(fake))
    if objective == "hinge":
        return ops.mean(ops.relu(1 - real)) + ops.mean(ops.relu(1 + fake))
    return energy(real) - energy(fake) - marginal_entropy(real)


def generator_loss(objective: str, fake: Tensor) -> Tensor:
    """The generator's loss, without the MCMC-inspired term.

    Args:
        objective: `lsgan`: mean (o_f - 1)^2. `hinge`: -mean o_f. `vgan`: E(fake) - H(fake), the
            variational bound's E_G[D] + H(p_G) with its entropy made explicit.
        fake: as in `discriminator_loss`.

    Returns:
        A scalar, float32.
    """
    fake = _float(fake)
    if objective == "lsgan":
        return ops.mean(ops.square(fake - 1))
    if objective == "hinge":
        return -ops.mean(fake)
    return energy(fake) - marginal_entropy(fake)


def energy(p: Tensor) -> Tensor:
    """The mean over the batch of E = sum_j h(p_j): [B, K] -> scalar."""
    return ops.mean(ops.sum(binary_entropy(p), -1))


def marginal_entropy(p: Tensor) -> Tensor:
    """The surrogate of the entropy, sum_j h(mean over the batch of p_j): [B, K] -> scalar."""
    return ops.sum(binary_entropy(replicas.mean(ops.mean(_float(p), 0))))


def mcmc_term(images: Tensor, old: Tensor, noise: Tensor) -> Tensor:
    """mean (G(z) - G_old(z) + noise)^2: keeps G close to a Langevin step from its past.

    Minimising -D(x) + (gamma / M) |x - x_old + e|^2 over an image x of M numbers is an implicit
    Langevin step of size M / (2 gamma) from x_old.

    Args:
        images: G(z).
        old: the averaged generator's images of the same z, without a gradient.
        noise: noise of the same shape, or 0.
    """
    return ops.mean(ops.square(_float(images) - ops.stop_gradient(_float(old)) + noise))
