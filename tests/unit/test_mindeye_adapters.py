"""MindEye's ways to encoders and generators of others, and its profile for NSD, on miniatures."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from neuroperc import nets
from neuroperc.color import srgb_to_linear
from neuroperc.decoding import MindEye, mindeye, plant_brain, write_planted

SMALL = {"width": 16, "n_blocks": 1, "projector_width": 16, "prior_depth": 1, "prior_heads": 2, "prior_head_dims": 4,
         "prior_steps": 5, "epochs": 2, "batch_size": 8}  # fmt: skip


class _Tower(nn.Module):
    """A miniature OpenCLIP picture tower: four patches and a class token of eight numbers, projected to five."""

    image_size = (8, 8)

    def __init__(self):
        super().__init__()
        self.patch, self.transformer, self.ln_post = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8), nn.LayerNorm(8)
        self.proj = nn.Parameter(torch.randn(8, 5))

    def forward(self, x):
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        tokens = self.transformer(torch.cat([tokens.mean(1, keepdim=True), tokens], 1))
        return self.ln_post(tokens[:, 0]) @ self.proj


def test_tokens_are_those_of_the_tower():
    torch.manual_seed(0)
    tower, pictures = _Tower(), torch.rand(2, 3, 20, 20)
    tokens = mindeye.ClipTokens(tower, side_px=8)(pictures)
    final = mindeye.ClipTokens(tower, side_px=8, tokens=False)(pictures)
    assert tokens.shape == (2, 5, 5) and final.shape == (2, 5)
    torch.testing.assert_close(tokens[:, 0].norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(tokens[:, 0] * final.norm(dim=-1, keepdim=True), final)
    assert (
        tokens[:, 1:].norm(dim=-1) - 1
    ).abs().max() > 0.05  # of the others only the first one's length is divided out
    assert not tower.transformer._forward_hooks


class _Scheduler:
    """Goes straight to what the network says, and notes what it was asked."""

    config = "config"

    @classmethod
    def from_config(cls, config):
        assert config == "config"
        return cls()

    def set_timesteps(self, n):
        self.timesteps = torch.arange(n - 1, -1, -1)

    def scale_model_input(self, x, step):
        return x

    def add_noise(self, x, noise, step):
        self.started = (x, int(step[0]))
        return x

    def step(self, said, step, x):
        return SimpleNamespace(prev_sample=said)


class _Unet:
    """Says a picture whose value is the mean of the embedding."""

    def __init__(self):
        self.steps = []

    def __call__(self, x, step, encoder_hidden_states):
        self.steps.append(int(step))
        return SimpleNamespace(sample=torch.ones_like(x) * encoder_hidden_states.mean((1, 2))[:, None, None, None])


class _Vae:
    def encode(self, x):
        return SimpleNamespace(
            latent_dist=SimpleNamespace(mean=x.mean(1, keepdim=True).repeat(1, 4, 1, 1)[..., :4, :4])
        )

    def decode(self, z):
        return SimpleNamespace(sample=z[:, :3])


def test_diffusers_is_wired_up(monkeypatch):
    fake, unet = ModuleType("diffusers"), _Unet()
    pipeline = SimpleNamespace(image_unet=unet, vae=_Vae(), scheduler=_Scheduler(), to=lambda device: pipeline)
    fake.VersatileDiffusionImageVariationPipeline = SimpleNamespace(from_pretrained=lambda name: pipeline)
    fake.UniPCMultistepScheduler = _Scheduler
    monkeypatch.setitem(sys.modules, "diffusers", fake)
    generator = mindeye.versatile_diffusion(device="cpu")
    generator.side_px = 32
    embeddings = torch.tensor([0.02, -0.01])[:, None, None].repeat(1, 6, 7)
    made = generator(embeddings, n_samples=3)
    assert made.shape == (2, 3, 3, 4, 4) and len(unet.steps) == 20
    # Guidance 3.5 on latents of the embedding's mean against zeros, then the autoencoder's scale and range.
    torch.testing.assert_close(made[:, 0, 0, 0, 0], 3.5 * torch.tensor([0.02, -0.01]) / 0.18215 / 2 + 0.5)
    unet.steps.clear()
    generator(embeddings, n_samples=2, start=torch.full((2, 3, 32, 32), 0.75))
    assert unet.steps == list(range(16, -1, -1))  # 85 % of 20 steps
    assert generator.scheduler.started[1] == 16
    torch.testing.assert_close(generator.scheduler.started[0], torch.full((4, 4, 4, 4), 0.5 * 0.18215))
    unet.steps.clear()
    generator.strength = 0.5
    generator(embeddings, start=torch.full((2, 3, 32, 32), 0.75))
    assert unet.steps == list(range(9, -1, -1))


@pytest.mark.parametrize(("name", "package"), [("open_clip_tokens", "open_clip"), ("versatile_diffusion", "diffusers")])
def test_a_missing_extra_is_named(monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RuntimeError, match=rf"extra 'generative' must be installed for {package}.*pip install"):
        getattr(mindeye, name)()


def test_the_profile_for_nsd_is_refused_without_it(monkeypatch, tmp_path):
    from pathlib import Path

    from neuroperc.experiment import run_experiment

    script = Path(__file__).parents[2] / "experiments" / "scotti2023_mindeye.py"
    monkeypatch.setenv("NEUROPERC_NSD", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="NEUROPERC_NSD must be the folder of the Natural Scenes Dataset"):
        run_experiment(script, profile="nsd", out=tmp_path)


def _net():
    return nets.load("squeezenet1_1", weights=None, preprocess={"size_px": 64, "resize_px": None})


def test_networks_get_the_light_they_take():
    net, codes = _net(), torch.rand(3, 3, 40, 40)
    with torch.no_grad():
        own = net(srgb_to_linear(codes))
        torch.testing.assert_close(mindeye.NetEncoder(net)(codes), own)
        assert (net(codes) - own).abs().max() > 0.01 * own.abs().max()
    made, two = torch.rand(3, 3, 40, 40), {}
    for name, network in (("net", net), ("by hand", lambda x: net(srgb_to_linear(x)))):
        table = mindeye.evaluate_reconstructions(
            made, codes, encoding="srgb", distance={"d": network}, resize_px=None, rng=0
        )
        two[name] = table.loc[table["measure"] == "distance d", "estimate"].item()
    assert two["net"] == two["by hand"]


def test_a_layer_gives_tokens_with_the_mean_first():
    net, codes, kept = _net(), torch.rand(2, 3, 64, 64), []
    handle = net.net.features[3].register_forward_hook(lambda _, __, out: kept.append(out))
    with torch.no_grad():
        net(srgb_to_linear(codes))
        handle.remove()
        (maps,) = kept
        every = mindeye.NetEncoder(net, layer="features.3")(codes)
        torch.testing.assert_close(mindeye.NetEncoder(net, layer="f*.3")(codes), every)  # a glob of one layer
        four, mean = (mindeye.NetEncoder(net, layer="features.3", grid=g)(codes) for g in (2, 0))
    assert maps.shape == (2, 128, 15, 15) and every.shape == (2, 226, 128) and four.shape == (2, 5, 128)
    torch.testing.assert_close(every[:, 1 + 15 * 2 + 7], maps[:, :, 2, 7])
    torch.testing.assert_close(four[:, 0], maps.mean((2, 3)))
    torch.testing.assert_close(four[:, 2], maps[:, :, :8, 7:].mean((2, 3)))  # top right
    torch.testing.assert_close(mean, four[:, 0])
    with pytest.raises(ValueError, match="layers must be paths or globs"):
        mindeye.NetEncoder(net, layer="nowhere")
    with pytest.raises(ValueError, match="layer must be the path of one layer"):
        mindeye.NetEncoder(net, layer="features.*")
    with pytest.raises(ValueError, match=r"model must be one that returns .* got tuple. Name a layer"):
        mindeye.NetEncoder(lambda x: (x,))(codes)


def test_a_vit_gives_257_tokens_as_clip_does():
    vit = nets.load("vit_small_patch14_dinov2", weights=None, img_size=224)
    with torch.no_grad():
        assert mindeye.NetEncoder(vit, layer="norm")(torch.rand(1, 3, 60, 60)).shape == (1, 257, 384)


def test_text_and_its_images_fit_the_protocols():
    sizes = {"vocab_size": 6, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 16, "max_position_embeddings": 12}  # fmt: skip
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat", "dog"]
    text = nets.TextEncoder(sizes, nets.WordPiece({w: i for i, w in enumerate(words)})).eval()
    space = nets.ConSE(lambda x: x.mean((2, 3))[:, :2], text, classes=["cat", "dog"], k=2)
    sentences: list[mindeye.SentenceEncoder] = [text, space.embed_text]
    assert [encoder(["cat", "a dog"]).shape for encoder in sentences] == [(2, 8), (2, 8)]
    images: mindeye.ImageEncoder = mindeye.NetEncoder(space.embed_images)
    codes = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(images(codes), space.embed_images(srgb_to_linear(codes)))


def test_what_the_docs_name_is_there():
    for name in ("ImageEncoder", "ImageGenerator", "SentenceEncoder"):
        assert getattr(mindeye, name)._is_protocol


@pytest.fixture
def nsd_tree(tmp_path, monkeypatch):
    """A session of 750 trials on 400 pictures, 310 of them shared, as NSD lies on disk."""
    rng = np.random.default_rng(0)
    shown = rng.permutation(np.concatenate([np.arange(400), np.arange(350)]))
    brain = plant_brain(
        rng.normal(size=(400, 8)), regions={"V1": 40}, rank=4, presentations=shown, n_sessions=1, ncsnr=2.0, rng=0
    )
    pictures = rng.integers(0, 256, (400, 16, 16, 3)).astype(np.uint8)
    write_planted(tmp_path, {1: brain}, n_shared=310, images=pictures)
    monkeypatch.setenv("NEUROPERC_NSD", str(tmp_path))
    return pictures


def test_the_profile_for_nsd_runs_on_a_planted_tree(nsd_tree, tmp_path, monkeypatch):
    from pathlib import Path

    from neuroperc.experiment import run_experiment

    seen, asked, whole = [], {}, MindEye.fit

    def encoder(codes):
        seen.append(codes)
        return torch.nn.functional.adaptive_avg_pool2d(codes, 4).flatten(2).transpose(1, 2)

    def small(self, betas, embeddings, **options):
        asked.update(self.get_params(), n_trials=len(betas), n_known=len(embeddings))
        self.set_params(**SMALL, mixed_precision=None)
        return whole(self, betas, embeddings, **{**options, "checkpoint": tmp_path / "mindeye.pt"})

    monkeypatch.setattr(mindeye, "open_clip_tokens", lambda name, pretrained, device: encoder)
    monkeypatch.setattr(MindEye, "fit", small)
    script = Path(__file__).parents[2] / "experiments" / "scotti2023_mindeye.py"
    result = run_experiment(script, profile="nsd", device="cpu", out=tmp_path)
    codes = torch.cat(seen)
    assert codes.shape == (400, 3, 16, 16)
    np.testing.assert_array_equal((255 * codes).round().numpy().transpose(0, 2, 3, 1), nsd_tree)
    # Training trials are those of the 90 pictures that are not shared: 90, and 40 again.
    assert asked["n_trials"] == 130 and asked["n_known"] == 400
    published = {"width": 4096, "n_blocks": 4, "projector_width": 2048, "prior_depth": 6, "prior_heads": 12,
                 "prior_head_dims": 64, "epochs": 240, "batch_size": 32, "mixed_precision": "fp16"}  # fmt: skip
    assert published.items() <= asked.items()
    measured = {claim.key: claim.ours for claim in result.claims if claim.ours is not None}
    assert set(measured) == {"retrieval_brain_to_image", "retrieval_image_to_brain"}
    assert all(0 <= share <= 100 for share in measured.values())
