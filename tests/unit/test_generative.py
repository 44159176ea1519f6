"""The packages of the extra `generative`, with small networks of random weights: nothing is downloaded."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from neuroperc.decoding import PrefixCaptioner, mindeye
from neuroperc.decoding.captions.prefix import PrefixMapper

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
MISSING = "the extra generative is not installed"


@pytest.fixture
def clip(tmp_path):
    """OpenCLIP with a model "tiny": its tag "openai" is a file, trained with QuickGELU as OpenAI's are."""
    package = pytest.importorskip("open_clip", reason=MISSING)
    tiny = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    for name, more in (("tiny", {}), ("tiny-quick", {"quick_gelu": True})):
        (tmp_path / f"{name}.json").write_text(json.dumps(tiny | more))
        package.add_model_config(tmp_path / f"{name}.json")
    torch.manual_seed(0)
    package.trained = package.create_model("tiny-quick").eval()
    torch.save(package.trained.state_dict(), tmp_path / "openai.pt")
    package.weights = str(tmp_path / "openai.pt")
    return package


@pytest.fixture
def tagged(clip, monkeypatch):
    tag = {"quick_gelu": True, "url": "", "file": clip.weights}
    monkeypatch.setitem(clip.pretrained._PRETRAINED, "tiny", {"openai": tag})
    monkeypatch.setattr(clip.factory, "download_pretrained", lambda config, **_: config["file"])


def test_tokens_and_embedding_are_those_of_open_clip(clip):
    pictures = torch.rand(2, 3, 32, 32)
    mean, sd = (torch.tensor(v)[:, None, None] for v in (clip.OPENAI_DATASET_MEAN, clip.OPENAI_DATASET_STD))
    with torch.no_grad():
        expected = clip.trained.encode_image((pictures - mean) / sd)
    tower = clip.create_model("tiny-quick", pretrained=clip.weights).visual.eval()
    final = mindeye.open_clip_tokens("tiny-quick", pretrained=clip.weights, tokens=False)(pictures)
    tokens = mindeye.open_clip_tokens("tiny-quick", pretrained=clip.weights)(pictures)
    torch.testing.assert_close(final, expected)
    assert tokens.shape == (2, 5, 24) and not tokens.requires_grad
    torch.testing.assert_close(tokens[:, 0] * expected.norm(dim=-1, keepdim=True), expected)
    tower.output_tokens = True  # OpenCLIP gives the others behind the last norm, without the projection
    with torch.no_grad():
        rest = tower((pictures - mean) / sd)[1] @ tower.proj
    torch.testing.assert_close(tokens[:, 1:], rest / expected.norm(dim=-1)[:, None, None])


@pytest.mark.usefixtures("tagged")
def test_weights_of_openai_get_their_activation(clip):
    pictures, texts = torch.rand(2, 3, 32, 32), ["a dog", "two cats on a sofa"]
    encoder = mindeye.open_clip_tokens("tiny", pretrained="openai", tokens=False)
    right = mindeye.ClipTokens(clip.trained.visual, side_px=32, tokens=False)
    plain = clip.create_model("tiny", pretrained="openai").visual.eval()
    with torch.no_grad():
        torch.testing.assert_close(encoder(pictures), right(pictures))
        assert (mindeye.ClipTokens(plain, side_px=32, tokens=False)(pictures) - right(pictures)).abs().max() > 1e-3
        expected = clip.trained.encode_text(clip.get_tokenizer("tiny")(texts), normalize=True)
    torch.testing.assert_close(mindeye.open_clip_sentences("tiny", pretrained="openai")(texts), expected)


def test_random_weights_need_no_tag(clip):
    assert mindeye.open_clip_tokens("tiny", pretrained=None)(torch.rand(1, 3, 40, 40)).shape == (1, 5, 24)


def test_latent_diffusion_is_that_of_diffusers(tmp_path):
    """Without guidance both go the same way: pictures from the same latents are equal."""
    diffusers = pytest.importorskip("diffusers", reason=MISSING)
    transformers = pytest.importorskip("transformers", reason=MISSING)
    torch.manual_seed(0)
    seeing = transformers.CLIPVisionConfig(
        hidden_size=32, projection_dim=24, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=16,
        intermediate_size=37,
    )  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(16, 32), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=24, attention_head_dim=8, norm_num_groups=8,
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), in_channels=3, out_channels=3, latent_channels=4, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    pipeline = diffusers.VersatileDiffusionImageVariationPipeline(
        image_feature_extractor=transformers.CLIPImageProcessor(size=32, crop_size=32), image_unet=unet, vae=vae,
        image_encoder=transformers.CLIPVisionModelWithProjection(seeing).eval(),
        scheduler=diffusers.DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
    )  # fmt: skip
    pipeline.save_pretrained(tmp_path / "vd")
    pipeline = diffusers.VersatileDiffusionImageVariationPipeline.from_pretrained(tmp_path / "vd")
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = diffusers.UniPCMultistepScheduler.from_config(pipeline.scheduler.config)
    generator = mindeye.versatile_diffusion(str(tmp_path / "vd"), device="cpu", guidance=1.0, n_steps=5)
    generator.side_px = 64
    picture = Image.effect_noise((32, 32), 80).convert("RGB")
    embedding = pipeline._encode_prompt([picture], "cpu", 1, False, None)
    ours = generator(embedding, n_samples=2, rng=3)
    latents = torch.from_numpy(np.random.default_rng(3).standard_normal((2, 4, 8, 8), dtype=np.float32))
    theirs = pipeline([picture], height=64, width=64, guidance_scale=1.0, num_inference_steps=5, latents=latents,
                      num_images_per_prompt=2, output_type="pt").images  # fmt: skip
    torch.testing.assert_close(ours[0], torch.as_tensor(theirs), atol=1e-4, rtol=1e-4)
    again = generator(embedding, start=torch.rand(1, 3, 64, 64), rng=3)
    assert again.shape == (1, 1, 3, 64, 64) and (again[0, 0] - ours[0, 0]).abs().max() > 1e-3


def test_clipcap_speaks_as_transformers_does(tmp_path):
    """A checkpoint and a tokenizer of the authors' layout, against the beam search of transformers."""
    transformers = pytest.importorskip("transformers", reason=MISSING)
    pieces = [*"abcdefghijklmnopqrstuvwxyz.", "Ġ", "<|endoftext|>", "he", "Ġa"]
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (tmp_path / "gpt2" / "merges.txt").write_text("#version: 0.2\nh e\nĠ a\n")
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=31, n_embd=64, n_layer=2, n_head=1, n_positions=80)
    gpt, mapper = transformers.GPT2LMHeadModel(config), PrefixMapper(512, 64, 10)
    state = {f"gpt.{k}": v for k, v in gpt.state_dict().items()}
    state |= {f"clip_project.{k}": v for k, v in mapper.state_dict().items()}
    torch.save(state, tmp_path / "coco.pt")
    captioner = PrefixCaptioner.clipcap(tmp_path / "coco.pt", tokenizer=str(tmp_path / "gpt2"), max_tokens=5)
    assert captioner.stop == 26
    vectors = torch.randn(3, 512)
    made = gpt.eval().generate(
        inputs_embeds=mapper(vectors), attention_mask=torch.ones(3, 10), num_beams=5, max_new_tokens=5,
        eos_token_id=26, pad_token_id=26, do_sample=False, length_penalty=1.0, early_stopping=False,
    )  # fmt: skip
    expected = ["".join(pieces[i] for i in row).replace("Ġ", " ").rstrip(".").strip() for row in made]
    assert [text.rstrip(".").strip() for text in captioner(vectors)] == expected
