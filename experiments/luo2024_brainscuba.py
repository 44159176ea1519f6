"""Luo et al. 2024 (BrainSCUBA): captions of voxels, scored on a planted brain where the right words are known."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure
from scipy.stats import t as student
from tqdm.auto import tqdm

from neuroperc import decoding, nets
from neuroperc import plot as npplot
from neuroperc._check import fail
from neuroperc.data import average_repeats
from neuroperc.decoding import mindeye
from neuroperc.experiment import Measured, Result
from neuroperc.metrics import pearson

#: 68 nouns in eight kinds; scenes mostly hold nouns of one kind, so that things that belong together come together.
KINDS = {
    "people": "man woman child player skier surfer crowd couple rider",
    "animals": "cat dog horse zebra bear elephant giraffe bird sheep",
    "places": "kitchen street beach bedroom field forest bathroom office mountain",
    "food": "pizza cake salad apple banana sandwich soup donut bread",
    "words": "sign letter poster book newspaper menu label clock",
    "vehicles": "car bus train boat bicycle truck plane motorcycle",
    "furniture": "chair table couch bed lamp shelf desk bench",
    "tools": "knife phone laptop umbrella racket camera bottle cup",
}
NOUNS = [noun for kind in KINDS.values() for noun in kind.split()]
KIND_SIZES = [len(kind.split()) for kind in KINDS.values()]
TAUS = (1 / 10, 1 / 50, 1 / 150, 1 / 500)
PREFERRED = {"FFA": "people", "PPA": "places", "food": "food", "VWFA": "words"}
REGIONS = {"LOC": 0.4, "FFA": 0.12, "EBA": 0.2, "PPA": 0.12, "food": 0.08, "VWFA": 0.08}
SPLIT = ("EBA", "player", "crowd")
#: Images, repeats, rank of the tuning: the graded settings; the first is the hardest.
SETTINGS = {"single trials, rank 24": (0, 1, 24), "three repeats, rank 24": (1, 3, 24),
            "three repeats, rank 60": (1, 3, 60)}  # fmt: skip
MAIN = "three repeats, rank 24"
GATE = 0.05  # single-trial noise ceiling
N_RESCORED = 500  # sentences that the language model reads


@dataclass(frozen=True)
class Config:
    """Sizes: voxels, images of the two settings, bank, images held out, features, median ncsnr; text space; seeds."""

    n_voxels: int
    n_images: tuple[int, int]
    n_bank: int
    n_held_out: int
    n_features: int
    ncsnr: float
    embeddings: str
    n_seeds: int
    seed: int


def run(config: Config, progress: bool = False) -> Measured:
    """Plant, fit, project, caption and score for every seed and setting, or caption NSD."""
    if config.embeddings == "clip":
        return _nsd(config)
    seeds = tqdm(range(config.n_seeds), desc="planted brains", disable=not progress)
    found = [_one_seed(config, config.seed + k) for k in seeds]
    table = {s: {name: [f[s][name] for f in found] for name in found[0][s]} for s in SETTINGS}
    main = {name: np.array(values, dtype=float) for name, values in table[MAIN].items() if name != "words"}
    pooled = {
        "shuffled_control": max(np.mean(table[s]["shuffled"]) for s in SETTINGS),
        "projection_gain": main["projected"][:, 2] - main["raw"],
        "distance_gain": main["distance_raw"] - main["distance"][:, 2],
        "tau_curve": dict(zip(("tau_10", "tau_50"), main["projected"].mean(0)[:2].tolist(), strict=True)),
        "gate": {"below": float(np.nanmean(main["below_gate"])), "above": float(main["above_gate"].mean())},
        "stability": main["stability"] - main["stability_shuffled"],
        "split_recovered": main["split"],
        "person_map": main["person_in"] - main["person_out"],
        "counterfactual": main["counterfactual"],
    }
    for key in ("rescored_nouns", "rescored_fluency"):  # not measured where the tiny language model is not at hand
        pooled[key] = main[key] if np.isfinite(main[key]).all() else None
    values = {name: v.mean().item() if isinstance(v, np.ndarray) else v for name, v in pooled.items()}
    intervals = {n: _interval(v) for n, v in pooled.items() if isinstance(v, np.ndarray) and config.n_seeds > 1}
    shown = {"table": table, "taus": list(TAUS), "words": found[0][MAIN]["words"]}
    return Measured(values | {"n_nouns": len(NOUNS)}, intervals, f"95 % t interval over {config.n_seeds} seeds", shown)


def _interval(values: np.ndarray) -> tuple[float, float]:
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)


class Space:
    """Captions of made scenes and their embeddings, in the place of CLIP's: noun vectors plus a constant offset."""

    def __init__(self, config: Config, rng: np.random.Generator) -> None:
        self.encoder = _text_encoder(config.embeddings)
        width = config.n_features if self.encoder is None else self.encoder.width
        # Like sentences about them, nouns have a part in common, a part of their kind, and one of their own.
        kinds = rng.standard_normal(width) + rng.standard_normal((len(KINDS), width))
        self.nouns = np.repeat(kinds, KIND_SIZES, axis=0) + rng.standard_normal((len(NOUNS), width))
        if self.encoder is not None:
            self.nouns = self.encoder([f"a photo of a {noun}" for noun in NOUNS]).numpy().astype(float)
        self.nouns /= np.linalg.norm(self.nouns, axis=1, keepdims=True)
        self.offset = rng.standard_normal(width)
        self.offset /= np.linalg.norm(self.offset)  # as long as a noun: the gap between the modalities

    def scenes(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return (n, 3) different nouns; those of the scene's kind are 20 times as likely as others."""
        kind = np.repeat(np.arange(len(KINDS)), KIND_SIZES)
        weight = np.where(kind == rng.integers(len(KINDS), size=(n, 1)), 20.0, 1.0)
        return np.argsort(rng.exponential(size=weight.shape) / weight, axis=1)[:, :3]

    def embed(self, scenes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return embeddings (n, feature) of scenes: what is named, detail that is not, the offset, and a norm."""
        detail = rng.standard_normal((len(scenes), len(self.offset)))
        detail *= 0.5 / np.linalg.norm(detail, axis=1, keepdims=True)
        if self.encoder is None:
            weights = np.array([1.0, 0.8, 0.6])
            seen = np.einsum("k,nkd->nd", weights, self.nouns[scenes])
        else:
            seen = self.encoder(captions_of(scenes)).numpy().astype(float)
        seen = seen / np.linalg.norm(seen, axis=1, keepdims=True) + detail + self.offset
        return (seen * np.exp(0.1 * rng.standard_normal((len(seen), 1)))).astype(np.float32)


def captions_of(scenes: np.ndarray) -> list[str]:
    """Return a sentence a scene."""
    return ["a photo of a {}, a {} and a {}".format(*(NOUNS[i] for i in row)) for row in scenes]


def _text_encoder(kind: str) -> Any:
    if kind == "made":
        return None
    root = os.environ.get("NEUROPERC_DATA", "")
    path = Path(root, "weights", "all-minilm-l6-v2")
    if kind != "minilm" or not path.exists():
        fail("embeddings", '"made", or "minilm" with NEUROPERC_DATA/weights/all-minilm-l6-v2', f"{kind!r}, {path}",
             "Put config.json, tokenizer.json and model.safetensors of the model there.")  # fmt: skip
    return nets.TextEncoder.load(path)


def _one_seed(config: Config, seed: int) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(seed)
    space = Space(config, rng)
    scenes = {n: space.scenes(size, rng) for n, size in
              (("train", config.n_images[1]), ("bank", config.n_bank), ("held", config.n_held_out))}  # fmt: skip
    seen = {name: space.embed(s, rng) for name, s in scenes.items()}
    found = {}
    for name, (size, repeats, rank) in SETTINGS.items():
        features = seen["train"][: config.n_images[size]]
        brain = _plant(config, space, features, repeats, rank, rng)
        found[name] = _score(config, space, brain, features, seen, scenes, rng, full=name == MAIN)
    return found


def _plant(
    config: Config, space: Space, features: np.ndarray, repeats: int, rank: int, rng: np.random.Generator
) -> decoding.PlantedBrain:
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    directions = space.nouns - space.nouns.mean(0)
    return decoding.plant_brain(
        unit, regions={r: round(share * config.n_voxels) for r, share in REGIONS.items()}, rank=rank,
        n_repeats=repeats, ncsnr=config.ncsnr, concepts=dict(zip(NOUNS, directions, strict=True)),
        preferred={r: KINDS[kind].split() for r, kind in PREFERRED.items()}, split=SPLIT, smooth_mm=3.0, rng=rng,
    )  # fmt: skip


def _score(
    config: Config, space: Space, brain: decoding.PlantedBrain, features: np.ndarray, seen: dict[str, np.ndarray],
    scenes: dict[str, np.ndarray], rng: np.random.Generator, full: bool,
) -> dict[str, Any]:  # fmt: skip
    """Score raw weights, projections at each temperature, and the shuffled control."""
    names = brain.responses.stimulus_id.values
    order = np.argsort(brain.rows, kind="stable")
    labels = names[order][np.searchsorted(brain.rows[order], np.arange(len(features)))]
    rows = xr.DataArray(features, dims=("stimulus", "feature"), coords={"stimulus_id": ("stimulus", labels)})
    encoder = decoding.fit_image_encoder(rows, brain.responses, standardize_within="session")
    shuffled = decoding.fit_image_encoder(rows, brain.shuffled(rng), standardize_within="session")
    pure = encoder.second_share.values == 0
    truth = encoder.concept.values[pure]
    centred, middle = space.nouns - space.nouns.mean(0), seen["bank"].mean(0)
    nearest = {"raw": decoding.RetrievalCaptioner(centred, NOUNS),
               "projected": decoding.RetrievalCaptioner(centred, NOUNS, offset=middle)}  # fmt: skip
    raw = encoder.weight.values
    projected = [decoding.project_weights(raw, seen["bank"], tau=tau) for tau in TAUS]
    right = np.array(nearest["raw"](raw))[pure] == truth
    moved = decoding.project_weights(shuffled.weight.values, seen["bank"])
    found: dict[str, Any] = {
        "raw": right.mean(),
        "projected": [np.mean(np.array(nearest["projected"](p))[pure] == truth) for p in projected],
        "shuffled": np.mean(np.array(nearest["projected"](moved))[pure] == truth),
        "oracle": np.mean(np.array(nearest["raw"](brain.drive_weight))[pure] == truth),
        "distance_raw": decoding.distance_to_bank(raw, seen["held"]).mean(),
        "distance": [decoding.distance_to_bank(p, seen["held"]).mean() for p in projected],
        "distance_image": decoding.distance_to_bank(seen["held"][::10], np.delete(seen["held"], np.s_[::10], 0)).mean(),
    }
    if full:
        found |= _captions(space, brain, encoder, seen, scenes, nearest["projected"], pure)
        found |= _stability(rows, brain.responses, rng) | {"counterfactual": _counterfactual(space, encoder, pure, rng)}
    return {k: np.asarray(v).tolist() if k != "words" else v for k, v in found.items()}


def _captions(
    space: Space, brain: decoding.PlantedBrain, encoder: xr.Dataset, seen: dict[str, np.ndarray],
    scenes: dict[str, np.ndarray], nouns: decoding.RetrievalCaptioner, pure: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    """Caption with sentences of the bank, five passes, every voxel; score gate, split, person map and rescoring."""
    vectors, texts = seen["bank"][:2000] - space.offset, captions_of(scenes["bank"][:2000])
    sentences = decoding.RetrievalCaptioner(vectors, texts, offset=space.offset)
    captions = decoding.caption_voxels(encoder, seen["bank"], sentences, rng=0)
    people = dict.fromkeys(KINDS["people"].split(), "person")
    person = decoding.word_map(captions, people).values
    region = encoder.region.values
    said = decoding.nouns_by_region(captions, NOUNS, n_top=6)
    inside = region == SPLIT[0]
    unit = captions.projection.values[0][inside]
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    axis = np.linalg.svd(unit - unit.mean(0), full_matrices=False)[2][0]
    side = (unit - unit.mean(0)) @ axis > 0
    same = np.mean(side == (encoder.part.values[inside] == 1))
    return {
        "split": max(same, 1 - same), "person_in": person[np.isin(region, ["FFA", "EBA"])].mean(),
        "person_out": person[np.isin(region, ["PPA", "food", "VWFA"])].mean(), "words": said.to_dict("list"),
        **_gated(brain, encoder, seen["bank"], nouns, captions.projection.values[0]),
        **_rescored(captions.isel(neuroid=pure), vectors[:N_RESCORED], texts[:N_RESCORED], space.offset),
    }  # fmt: skip


def _gated(
    brain: decoding.PlantedBrain, encoder: xr.Dataset, bank: np.ndarray, nouns: decoding.RetrievalCaptioner,
    every: np.ndarray,
) -> dict[str, float]:  # fmt: skip
    """Noun recovery of the voxels that the gate lets pass by their measured ceiling, and of those it holds back."""
    ceiling = decoding.noise_ceilings(brain.responses, n_repeats=1, n_splits=1, rng=0).noise_ceiling
    passed = decoding.caption_voxels(
        encoder, bank, nouns, n_passes=1, noise_ceiling=ceiling.values, min_noise_ceiling=GATE, rng=0
    )
    pure, held = encoder.second_share.values == 0, ~np.isin(encoder.neuroid_id, passed.neuroid_id)
    below = (np.array(nouns(every)) == encoder.concept.values)[pure & held]  # of the same half of the bank
    above = (passed.caption.values[0] == passed.concept.values)[passed.second_share.values == 0]
    return {"below_gate": below.mean() if below.size else np.nan, "above_gate": above.mean(), "held": held.mean()}


def _rescored(captions: xr.Dataset, vectors: np.ndarray, texts: list[str], offset: np.ndarray) -> dict[str, float]:
    """Measure what a tiny language model's prior over captions changes: nouns found, nats a word of what is said."""
    folder = Path(os.environ.get("NEUROPERC_DATA", ""), "weights", "stories260K")
    if not folder.is_dir():
        return {"rescored_nouns": np.nan, "rescored_fluency": np.nan}
    stories = nets.TinyLM.load(folder / "stories260K.bin", folder / "tok512.bin")
    prior = stories.log_likelihood(texts) / np.array([len(text.split()) for text in texts])
    fluency = dict(zip(texts, prior, strict=True))
    shape, truth = captions.projection.shape, captions.concept.values
    right, nats = [], []
    for chosen in (np.zeros(len(texts)), prior):
        speak = decoding.RetrievalCaptioner(vectors, texts, offset=offset, prior=chosen, temperature=1 / 50)
        said = speak(captions.projection.values.reshape(-1, shape[2]))
        own = np.array(said).reshape(shape[:2])
        right.append(np.mean([[noun in re.findall(r"\w+", text) for noun, text in zip(truth, row, strict=True)]
                              for row in own]))  # fmt: skip
        nats.append(np.mean([fluency[text] for text in said]))
    return {"plain_nouns": right[0], "rescored_nouns": right[1] - right[0], "plain_fluency": nats[0],
            "rescored_fluency": nats[1] - nats[0]}  # fmt: skip


def _stability(rows: xr.DataArray, responses: xr.DataArray, rng: np.random.Generator) -> dict[str, float]:
    found = decoding.weight_stability(rows, responses, n_splits=1, rng=rng)
    return {"stability": float(found.stability.mean()), "stability_shuffled": float(found.shuffled.mean())}


def _counterfactual(space: Space, encoder: xr.Dataset, pure: np.ndarray, rng: np.random.Generator) -> float:
    """Share of voxels that the planted noun drives more than any other of its kind does, in otherwise equal scenes."""
    base = space.scenes(60, rng)
    effects = []
    for k in range(len(NOUNS)):
        with_noun = base.copy()
        with_noun[:, 0] = k
        other = rng.integers(1 << 31)  # the same unnamed detail in both pictures of a pair
        pictures = [space.embed(s, np.random.default_rng(other)) for s in (with_noun, base)]
        effects.append(decoding.counterfactual_effect(encoder, *pictures).effect.values[pure])
    effect = np.stack(effects, axis=1)
    groups = np.repeat(np.arange(len(KINDS)), KIND_SIZES)
    truth = np.array([NOUNS.index(c) for c in encoder.concept.values[pure]])
    rivals = np.where((groups == groups[truth][:, None]) & (np.arange(len(NOUNS)) != truth[:, None]), effect, -np.inf)
    return float(np.mean(effect[np.arange(len(truth)), truth] > rivals.max(axis=1)))


#: What the profile nsd needs: a variable of the environment to what it names.
NSD_NEEDS = {
    "NEUROPERC_NSD": "the folder of the Natural Scenes Dataset",
    "NEUROPERC_CLIP_BANK": "a .npy file of CLIP ViT-B/32 embeddings of pictures, (picture, 512)",
    "NEUROPERC_CLIPCAP": "ClipCap's weights, trained on COCO",
}
FLOC = ("faces", "bodies", "places", "words")


def _nsd(config: Config) -> Measured:
    """Caption the voxels of NSD's subject 1 in CLIP's space; what needs planted truth is not measured."""
    places = {name: os.environ.get(name) or "nothing" for name in NSD_NEEDS}
    for name, place in places.items():
        if not Path(place).exists():
            raise FileNotFoundError(f"{name} must be {NSD_NEEDS[name]}, got {place}. The profiles smoke and paper run "
                                    "without it, on planted brains.")  # fmt: skip
    root, bank, clipcap = places.values()
    clip = mindeye.open_clip_tokens("ViT-B-32", pretrained="openai", tokens=False)
    betas = decoding.read_nsd_betas(root, 1)
    maps = [decoding.read_nsd_map(root, 1, f"floc-{kind}", like=betas) > 0 for kind in FLOC]
    betas = betas.assign_coords(region=("neuroid", np.select(maps, FLOC, default="")))
    names, first = np.unique(betas.stimulus_id.values, return_index=True)
    numbers = betas.image_73k.values[first]
    embedded = []
    for k in range(0, len(numbers), 64):
        codes = torch.from_numpy(decoding.read_nsd_images(root, numbers[k : k + 64])).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            embedded.append(clip(codes).numpy())
    rows = xr.DataArray(
        np.concatenate(embedded), dims=("stimulus", "feature"), coords={"stimulus_id": ("stimulus", names)}
    )
    own, shared = betas[~betas.shared.values], average_repeats(betas[betas.shared.values])
    encoder = decoding.fit_image_encoder(rows, own, standardize_within="session")
    tested = rows.values[np.searchsorted(names, shared.stimulus_id.values)]
    fit = pearson(tested @ encoder.weight.values.T, shared.values)
    ceiling = decoding.noise_ceilings(betas, rng=config.seed).noise_ceiling
    words = decoding.caption_voxels(
        encoder, np.load(bank, mmap_mode="r"), decoding.PrefixCaptioner.clipcap(clipcap), noise_ceiling=ceiling,
        rng=config.seed,
    )  # fmt: skip
    person, region = decoding.word_map(words).values, words.region.values
    stable = decoding.weight_stability(rows, own, n_splits=1, rng=config.seed)
    values: dict[str, Any] = dict.fromkeys(
        ("shuffled_control", "projection_gain", "distance_gain", "tau_curve", "gate", "split_recovered",
         "counterfactual", "rescored_nouns", "rescored_fluency")
    )  # fmt: skip
    values["stability"] = float((stable.stability - stable.shuffled).mean())
    values["person_map"] = float(person[np.isin(region, FLOC[:2])].mean() - person[np.isin(region, FLOC[2:])].mean())
    said = decoding.nouns_by_region(words, NOUNS, n_top=6)
    return Measured(values | {"median_test_r": float(np.nanmedian(fit))}, data={"words": said.to_dict("list")})


def plot(result: Result) -> Figure:
    """Draw noun recovery and distance against tau, and the words of each region."""
    with npplot.style():
        canvas = npplot.figure(2, 3, width_in=3.1, height_in=2.7)
        words = result.data["words"]
        regions = ("EBA", "FFA", "PPA", "food") if "table" in result.data else FLOC
        for ax, region in zip(canvas.axes[2:], regions, strict=True):
            rows = [i for i, r in enumerate(words["region"]) if r == region]
            if rows:
                npplot.word_cloud(
                    [words["noun"][i] for i in rows], [words["share"][i] for i in rows], max_size_pt=40, ax=ax
                )
            ax.set_title(f"{region}: words by share of captions")
        if "table" not in result.data:  # NSD: nothing is planted
            for ax in canvas.axes[:2]:
                ax.set_axis_off()
            return canvas
        taus, table = np.array(result.data["taus"]), result.data["table"]
        for setting, color in zip(table, npplot.COLORS.values(), strict=False):
            own = {
                k: np.array(table[setting][k], dtype=float) for k in ("projected", "raw", "distance", "distance_raw")
            }
            for ax, key, base in ((canvas.axes[0], "projected", "raw"), (canvas.axes[1], "distance", "distance_raw")):
                npplot.tau_curve(taus, own[key], raw=own[base], label=setting, color=color, ax=ax)
        black = {"color": "black", "ls": ":", "lw": 1}
        canvas.axes[0].axhline(np.mean(table[MAIN]["shuffled"]), label="stimuli shuffled", **black)
        canvas.axes[0].set(ylabel=f"share right of {len(NOUNS)} nouns", ylim=(0, 1.02))
        canvas.axes[0].set_title("noun recovery, simulated brain")
        canvas.axes[0].legend(handles=[canvas.axes[0].lines[-1]], fontsize=7, loc="lower left")
        canvas.axes[1].axhline(np.mean(table[MAIN]["distance_image"]), label="one image to the others", **black)
        canvas.axes[1].set(ylabel="1 - cosine, nearest image", ylim=(0, None), title="distance to held-out images")
        canvas.axes[1].legend(fontsize=7, loc="center left")
        canvas.suptitle(f"thin: {result.config['n_seeds']} simulated brains; thick: their mean", fontsize=9)
    return canvas
