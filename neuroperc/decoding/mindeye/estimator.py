"""MindEye as an estimator: fit to betas and embeddings; embed, project and predict."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from ..._check import as_rng, check, fail, integer, non_negative, one_of, positive
from ...training import TrainingResult
from ...training import fit as train
from .._blocks import digest, settings_of
from ._data import Batch, Patterns, Pictures, by_subject, patterns_of, subjects_of
from .backbone import Backbone, Entry, Projector
from .losses import bimixco_loss, mix_subjects, one_cycle_factor, soft_clip_loss, soft_clip_temperature
from .prior import DiffusionPrior

CONTRASTIVE = ("bimixco_softclip", "bimixco", "softclip", "none")


class MindEye(BaseEstimator):
    """Embeddings of pictures from patterns of voxels: contrastive learning and a diffusion prior.

    A residual network maps voxels to tokens of an image embedding. A projector takes these to where a contrastive loss
    compares them with pictures, for retrieval; a diffusion prior takes them to where pictures' embeddings lie, for
    reconstruction. Contrast is by BiMixCo for the first third of the training and by SoftCLIP, its temperature rising,
    for the rest. Defaults are small and run on a CPU; the published sizes are ``width=4096, n_blocks=4,
    projector_width=2048, prior_depth=6, prior_heads=12, prior_head_dims=64, epochs=240``.

    Parameters
    ----------
    width, n_blocks, entry, entry_dropout, block_dropout
        Of the `Backbone`.
    projector
        False compares the backbone's tokens themselves with pictures.
    projector_width
        Of the `Projector`.
    prior
        False puts the mean squared error of the backbone's tokens in the place of the diffusion prior's loss.
    prior_depth, prior_heads, prior_head_dims, prior_steps, null_share
        Of the `DiffusionPrior`.
    prior_weight
        Weight of the prior's loss beside the contrastive one; published: 30 for tokens, 0.03 for one embedding.
    contrastive
        ``"bimixco_softclip"``, only one of them, or ``"none"``.
    mixing_share
        Share of the training with BiMixCo, when both are used.
    epochs, batch_size, learning_rate, weight_decay
        AdamW, decaying matrices alone, one cycle of the rate with its peak after 1/120 of the training.
    mixed_precision
        Of `neuroperc.training.fit`.
    device
        Where it is trained and stays.
    random_state
        Seed of weights, order, mixing, dropout and noise.

    Attributes
    ----------
    network_ : torch.nn.Module
        With ``backbone``, ``projector`` and ``prior``.
    history_ : neuroperc.training.TrainingResult
        Losses a step.

    Raises
    ------
    ValueError
        For an unknown choice or a number out of range, when fitted.

    Notes
    -----
    Voxels are standardised by the training trials. Each step shows one repetition of every picture, and the next step
    the next one. Tokens are divided by the length of each picture's first token, and everything that comes out is in
    that unit. Images are not augmented here: give embeddings of what was shown.

    References
    ----------
    .. [1] P S Scotti et al. (2023). Reconstructing the Mind's Eye: fMRI-to-image with contrastive learning and
       diffusion priors. arXiv:2305.18274
    .. [2] P S Scotti et al. (2024). MindEye2: shared-subject models enable fMRI-to-image with 1 hour of data.
       arXiv:2403.11207: several subjects, a linear entry each.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> pictures = rng.normal(size=(80, 6))
    >>> betas = pictures @ rng.normal(size=(6, 30)) + 0.1 * rng.normal(size=(80, 30))
    >>> model = MindEye(width=32, projector_width=32, prior_depth=1, epochs=20, random_state=0)
    >>> model = model.fit(betas[:60], pictures[:60])
    >>> model.project(betas[60:]).shape, model.predict(betas[60:], rng=0).shape
    ((20, 6), (20, 6))
    """

    def __init__(
        self,
        *,
        width: int = 256,
        n_blocks: int = 2,
        entry: Entry = "dropout",
        entry_dropout: float = 0.5,
        block_dropout: float = 0.15,
        projector: bool = True,
        projector_width: int = 256,
        prior: bool = True,
        prior_depth: int = 2,
        prior_heads: int = 4,
        prior_head_dims: int = 32,
        prior_steps: int = 100,
        null_share: float = 0.2,
        prior_weight: float = 30.0,
        contrastive: str = "bimixco_softclip",
        mixing_share: float = 0.33,
        epochs: float = 60,
        batch_size: int = 32,
        learning_rate: float = 3e-4,
        weight_decay: float = 1e-2,
        mixed_precision: str | None = None,
        device: Any = None,
        random_state: int = 0,
    ) -> None:
        self.width = width
        self.n_blocks = n_blocks
        self.entry = entry
        self.entry_dropout = entry_dropout
        self.block_dropout = block_dropout
        self.projector = projector
        self.projector_width = projector_width
        self.prior = prior
        self.prior_depth = prior_depth
        self.prior_heads = prior_heads
        self.prior_head_dims = prior_head_dims
        self.prior_steps = prior_steps
        self.null_share = null_share
        self.prior_weight = prior_weight
        self.contrastive = contrastive
        self.mixing_share = mixing_share
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.mixed_precision = mixed_precision
        self.device = device
        self.random_state = random_state

    def fit(
        self,
        betas: Any,
        embeddings: Any,
        *,
        pretrained: MindEye | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool = False,
    ) -> MindEye:
        """Train on one subject, or on a mapping of several who share everything but their entry.

        Parameters
        ----------
        betas
            (picture, voxel), (picture, repetition, voxel), or Responses, where rows of one `stimulus_id` are
            repetitions. For several subjects a mapping from name to these.
        embeddings
            (picture, dim) or (picture, token, dim); for Responses one row a presentation, or a labelled array with one
            row a `stimulus_id`. For several subjects a mapping too.
        pretrained
            A fitted MindEye of the same sizes; training starts from all of its weights but the entries of subjects it
            does not know.
        checkpoint
            File that keeps the state of the training. If it is there, the training goes on from it.
        progress
            Show a bar.

        Returns
        -------
        MindEye
            Itself.

        Raises
        ------
        ValueError
            For NaN, shapes that do not match, fewer than two pictures, or a checkpoint of another training: other data
            or other settings.
        RuntimeError
            When `pretrained` is not fitted.
        """
        self._check()
        if pretrained is not None and not hasattr(pretrained, "network_"):
            fail("pretrained", "fitted first", "no network", "Call its fit(betas, embeddings).", RuntimeError)
        parts = subjects_of(betas, embeddings)
        pictures = Pictures(parts)
        check(len(pictures) > 1, "betas", "of two or more pictures", len(pictures), "Contrast needs a second one.")
        self.scaling_ = {part.subject: (part.mean, part.sd) for part in parts}
        shown = parts[0].tokens.shape[1:]
        given = next(iter(embeddings.values())) if isinstance(embeddings, dict) else embeddings
        self.embedding_shape_ = tuple(shown[1:] if np.ndim(given) == 2 else shown)
        sizes = {part.subject: part.voxels.shape[1] for part in parts}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            self.network_ = _Network(self, sizes, *shown)
        if pretrained is not None:
            _take_over(self.network_, pretrained)
        self.network_.to(torch.device(self.device or "cpu"))
        per_epoch = -(-len(pictures) // self.batch_size)
        n_steps = max(2, int(np.ceil(self.epochs * per_epoch)))
        self.history_: TrainingResult = train(
            self.network_, pictures, loss=partial(_loss, self, n_steps), optimizer=self._optimizer, steps=n_steps,
            batch_size=self.batch_size, schedule=partial(one_cycle_factor, n_steps=n_steps), collate=by_subject,
            mixed_precision=self.mixed_precision, checkpoint=checkpoint, progress=progress,
            random_state=self.random_state,
            data_key=None if checkpoint is None else self._data_key(parts, pretrained),
        )  # fmt: skip
        self.network_.eval()
        return self

    def embed(self, betas: Any, *, subject: str | None = None) -> np.ndarray:
        """Return the backbone's tokens, in the shape of the training embeddings; repetitions are averaged first."""
        return self._shaped(self._tokens(betas, subject))

    def project(self, betas: Any, *, subject: str | None = None) -> np.ndarray:
        """Return what the contrastive loss compares with pictures, for `brain_to_image` and `image_to_brain`.

        Parameters
        ----------
        betas
            (picture, voxel), (picture, repetition, voxel), averaged over repetitions, or Responses, row by row.
        subject
            Name, when several were trained.

        Returns
        -------
        numpy.ndarray
            In the shape of the training embeddings.

        Raises
        ------
        ValueError
            For another number of voxels, NaN or an unknown subject.
        RuntimeError
            Before `fit`.
        """
        tokens = self._tokens(betas, subject)
        with torch.no_grad():
            return self._shaped(self.network_.projector(tokens))

    def predict(
        self,
        betas: Any,
        *,
        subject: str | None = None,
        n_samples: int = 1,
        guidance: float = 1.0,
        rng: int | np.random.Generator = 0,
        progress: bool = False,
    ) -> np.ndarray:
        """Return embeddings for reconstruction: the mean of `n_samples` draws from the prior, or the backbone's tokens.

        Parameters
        ----------
        betas, subject
            As in `project`.
        n_samples
            Draws that are averaged before the first token is taken to length 1; one is a draw as in the paper, more
            come near the expected embedding.
        guidance
            Of the prior; 1 is plain conditional sampling.
        rng
            Seed or generator of the prior's noise.
        progress
            Show a bar over diffusion steps.

        Returns
        -------
        numpy.ndarray
            In the shape of the training embeddings, the first token of length 1.

        Raises
        ------
        ValueError
            As `project`.
        """
        tokens, n = self._tokens(betas, subject), integer("n_samples", n_samples)
        if self.network_.prior is not None:
            many = tokens.repeat(n, 1, 1)
            drawn = self.network_.prior.sample(many, rng=as_rng(rng), guidance=guidance, progress=progress)
            tokens = drawn.unflatten(0, (n, -1)).mean(0)
        return self._shaped(tokens / tokens[:, :1].norm(dim=-1, keepdim=True).clamp_min(1e-12))

    def _tokens(self, betas: Any, subject: str | None) -> Tensor:
        if not hasattr(self, "network_"):
            fail("MindEye", "fitted first", "no network", "Call fit(betas, embeddings).", RuntimeError)
        known = list(self.scaling_)
        name = known[0] if subject is None and len(known) == 1 else str(subject)
        one_of("subject", name, known)
        mean, sd = self.scaling_[name]
        x = patterns_of(betas)
        check(x.shape[1] == len(mean), "betas", f"of {len(mean)} voxels, as in training", x.shape[1])
        first = next(self.network_.parameters())
        scaled = torch.from_numpy(((x - mean) / sd).astype(np.float32)).to(first.device)
        with torch.no_grad():
            found: Tensor = self.network_.backbone([(name, scaled)])
        return found

    def _shaped(self, tokens: Tensor) -> np.ndarray:
        return np.asarray(tokens.float().cpu().numpy().reshape(len(tokens), *self.embedding_shape_))

    def _check(self) -> None:
        one_of("contrastive", self.contrastive, CONTRASTIVE)
        check(0 <= self.mixing_share <= 1, "mixing_share", "from 0 to 1", self.mixing_share)
        non_negative("prior_weight", self.prior_weight)
        check(self.prior_weight > 0 or self.contrastive != "none", "prior_weight", "above 0 without a contrastive loss",
              self.prior_weight, "Nothing would be learned.")  # fmt: skip
        for name in ("epochs", "learning_rate"):
            positive(name, getattr(self, name))
        non_negative("weight_decay", self.weight_decay)
        integer("batch_size", self.batch_size, minimum=2)
        integer("random_state", self.random_state, minimum=0)

    def _data_key(self, parts: list[Patterns], pretrained: MindEye | None) -> str:
        """Return what a checkpoint must agree with: all settings but where it runs, the data, and where it starts."""
        data = [a for p in parts for a in (p.subject, p.voxels.numpy(), p.rows.numpy(), p.tokens.numpy())]
        start = {} if pretrained is None else pretrained.network_.state_dict()
        return digest(settings_of(self), *data, *(v.cpu().numpy() for v in start.values()))

    def _optimizer(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},  # biases and LayerNorm
        ]
        return torch.optim.AdamW(groups, lr=self.learning_rate)


class _Network(nn.Module):
    """Everything that is trained, and how far the training is."""

    step: Tensor

    def __init__(self, of: MindEye, n_voxels: dict[str, int], n_tokens: int, n_dims: int) -> None:
        super().__init__()
        self.backbone = Backbone(
            n_voxels, n_tokens=n_tokens, n_dims=n_dims, width=of.width, n_blocks=of.n_blocks, entry=of.entry,
            entry_dropout=of.entry_dropout, block_dropout=of.block_dropout,
        )  # fmt: skip
        self.projector = Projector(n_dims, width=of.projector_width) if of.projector else nn.Identity()
        self.prior = (
            DiffusionPrior(
                n_tokens=n_tokens, n_dims=n_dims, depth=of.prior_depth, n_heads=of.prior_heads,
                head_dims=of.prior_head_dims, n_steps=of.prior_steps, null_share=of.null_share,
            ) if of.prior else None
        )  # fmt: skip
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, batch: Batch, of: MindEye, n_steps: int) -> Tensor:
        """Return the loss of one step, and count it."""
        step = int(self.step)
        self.step += 1
        # The training loop seeds torch from its seed and the step; the draws of NumPy follow from it.
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        voxels = [part[:, step % part.shape[1]] for _, part, _ in batch]
        picture = torch.cat([tokens for _, _, tokens in batch])
        mixing = of.contrastive == "bimixco" or (
            of.contrastive == "bimixco_softclip" and step < of.mixing_share * n_steps
        )
        partner, share = None, None
        if mixing:
            voxels, partner, share = mix_subjects(voxels, rng=rng)
        tokens = self.backbone([(name, x) for (name, _, _), x in zip(batch, voxels, strict=True)])
        total = tokens.new_zeros(())
        if partner is not None and share is not None:
            total = bimixco_loss(self.projector(tokens), picture, partner, share)
        elif of.contrastive != "none":
            first = of.mixing_share * n_steps if of.contrastive == "bimixco_softclip" else 0.0
            done = min(max((step - first) / max(n_steps - 1 - first, 1), 0.0), 1.0)
            total = soft_clip_loss(self.projector(tokens), picture, temperature=soft_clip_temperature(done))
        if of.prior_weight:
            total = total + of.prior_weight * self._distance(tokens, picture, rng)
        return total

    def _distance(self, tokens: Tensor, picture: Tensor, rng: np.random.Generator) -> Tensor:
        if self.prior is not None:
            found: Tensor = self.prior.loss(tokens, picture, rng=rng)
            return found
        return mse_loss(tokens.float(), picture.float()) * picture.shape[-1]  # scaled as the prior's


def _loss(of: MindEye, n_steps: int, network: nn.Module, batch: Batch) -> Tensor:
    found: Tensor = network(batch, of, n_steps)
    return found


def _take_over(network: _Network, pretrained: MindEye) -> None:
    """Copy all weights but the entries of subjects that the pretrained model does not know."""
    source = pretrained.network_
    state = {k: v for k, v in source.state_dict().items() if not k.startswith("backbone.entries.") and k != "step"}
    own = network.state_dict()
    wrong = [k for k, v in own.items() if k in state and state[k].shape != v.shape] + [k for k in state if k not in own]
    check(not wrong, "pretrained", "of the same sizes and parts", wrong[:3], "Give both the same settings.")
    network.load_state_dict(state, strict=False)
    for name in network.backbone.subjects:
        if name in source.backbone.subjects:
            entry = source.backbone.entries[source.backbone.subjects.index(name)]
            network.backbone.entries[network.backbone.subjects.index(name)].load_state_dict(entry.state_dict())
