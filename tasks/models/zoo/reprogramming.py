"""What Time-LLM puts before a language model: patches told in terms of its word embeddings."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class PatchEmbedding(nn.Module):
    """Tokens of patches: a convolution over three neighbouring patches, the ends joined."""

    def __init__(self, patch: int, stride: int, width: int, dropout: float) -> None:
        """Patches of `patch` values every `stride` become tokens of `width`."""
        super().__init__()
        self.patch, self.stride = patch, stride
        self.convolution = nn.Conv1d(
            patch, width, kernel_size=3, padding=1, padding_mode="circular", bias=False
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Float[Tensor, "batch context"]) -> Float[Tensor, "batch tokens W"]:
        """The tokens; the last value is repeated once over a stride, as PatchTST does."""
        padded = F.pad(values[:, None], (0, self.stride), mode="replicate")[:, 0]
        patches = padded.unfold(1, self.patch, self.stride)  # [batch, tokens, patch]
        tokens: Tensor = self.dropout(self.convolution(patches.transpose(1, 2)).transpose(1, 2))
        return tokens


class Reprogramming(nn.Module):
    """Cross-attention of patch tokens onto text prototypes, linear maps of all word embeddings."""

    def __init__(
        self, width: int, text: int, words: int, *, prototypes: int, heads: int, keys: int,
        dropout: float,
    ) -> None:  # fmt: skip
        """Layers with random weights.

        Args:
            width: of the patch tokens.
            text: width of the language model.
            words: of its vocabulary.
            prototypes: how many combinations of words are attended to.
            heads: of the attention.
            keys: width of each head.
            dropout: of the attention weights.
        """
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.prototypes = nn.Linear(words, prototypes)
        self.query = nn.Linear(width, heads * keys)
        self.key = nn.Linear(text, heads * keys)
        self.value = nn.Linear(text, heads * keys)
        self.output = nn.Linear(heads * keys, text)

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"], words: Float[Tensor, "words text"]
    ) -> Float[Tensor, "batch tokens text"]:
        """The tokens in the space of the language model."""
        texts = self.prototypes(words.T).T[None]  # [1, prototypes, text]
        query = self._split(self.query(tokens))
        key, value = (self._split(one(texts)) for one in (self.key, self.value))
        dropout = self.dropout if self.training else 0.0
        shape = (len(tokens), *key.shape[1:])
        attended = F.scaled_dot_product_attention(
            query, key.expand(shape), value.expand(shape), dropout_p=dropout
        )
        programmed: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return programmed

    def _split(self, states: Tensor) -> Tensor:
        # [batch, N, heads * keys] -> [batch, heads, N, keys]
        return states.view(*states.shape[:-1], self.heads, -1).transpose(1, 2)
