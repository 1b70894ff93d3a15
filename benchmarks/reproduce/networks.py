"""The three networks, small enough for a thousand trainings: digits, text by character, a table."""

import math

import torch
import torch.nn.functional as F
from torch import nn

ACTIVATIONS = {
    "erf": nn.GELU,
    "tanh": lambda: nn.GELU(approximate="tanh"),
    "relu": nn.ReLU,
    "leaky": nn.LeakyReLU,
    "silu": nn.SiLU,
}


class LayerNorm(nn.LayerNorm):
    """Written out where a recipe says so: the same but for the order of sums."""

    by_hand = False

    def forward(self, x):
        """x: (..., features)."""
        if not self.by_hand:
            return super().forward(x)
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + self.eps).sqrt() * self.weight + self.bias


class Linear(nn.Linear):
    """The same, as a product of matrices."""

    by_hand = False

    def forward(self, x):
        """x: (..., features)."""
        if not self.by_hand:
            return super().forward(x)
        half = x.shape[-1] // 2  # two partial sums
        product = x[..., :half] @ self.weight[:, :half].T + x[..., half:] @ self.weight[:, half:].T
        return product if self.bias is None else product + self.bias


class Convolved(nn.Module):
    """A convolution, its norm, an activation, and what came in."""

    def __init__(self, recipe, wide):
        super().__init__()
        self.residual = recipe.residual
        self.conv = nn.Conv2d(wide, wide, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(wide, eps=recipe.norm_eps, momentum=recipe.norm_momentum)
        self.act = ACTIVATIONS[recipe.activation]()

    def forward(self, x):
        """x: (batch, channels, 8, 8)."""
        return self.residual * x + self.act(self.norm(self.conv(x)))


class Vision(nn.Module):
    """(batch, 1, 8, 8) -> (batch, 10)."""

    def __init__(self, recipe):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8, eps=recipe.norm_eps, momentum=recipe.norm_momentum)
        self.act = ACTIVATIONS[recipe.activation]()
        self.block = Convolved(recipe, 8)
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(recipe.dropout)
        self.last = recipe.last
        self.add_module(recipe.last, Linear(128, 10, bias=recipe.biased))

    def forward(self, x):
        """Logits."""
        return getattr(self, self.last)(self.drop(self.pool(self.block(self.act(self.norm(self.conv(x))))).flatten(1)))


class Attention(nn.Module):
    """Two heads."""

    def __init__(self, recipe, wide):
        super().__init__()
        self.causal, self.scaled, self.by_hand = recipe.causal, recipe.scaled, recipe.by_hand
        self.qkv = Linear(wide, 3 * wide)
        self.proj = Linear(wide, wide)

    def forward(self, x):
        """x: (batch, time, features)."""
        many, long, wide = x.shape
        query, key, value = self.qkv(x).view(many, long, 3, 2, wide // 2).permute(2, 0, 3, 1, 4)
        scale = math.sqrt(wide // 2) if self.scaled else 1.0
        scores = query @ key.transpose(-2, -1) / scale
        if self.causal:
            scores = scores.masked_fill(torch.ones(long, long, dtype=torch.bool).triu(1), -torch.inf)
        if self.by_hand:
            found = torch.exp(scores - scores.amax(-1, keepdim=True))
            mixed = (found @ value) / found.sum(-1, keepdim=True)
        else:
            mixed = scores.softmax(-1) @ value
        return self.proj(mixed.transpose(1, 2).reshape(many, long, wide))


class Block(nn.Module):
    """Attention, then a perceptron."""

    def __init__(self, recipe, wide):
        super().__init__()
        self.residual = recipe.residual
        self.norm1, self.attention = LayerNorm(wide, eps=recipe.norm_eps), Attention(recipe, wide)
        self.norm2, self.fc1 = LayerNorm(wide, eps=recipe.norm_eps), Linear(wide, 2 * wide)
        self.act, self.fc2 = ACTIVATIONS[recipe.activation](), Linear(2 * wide, wide)
        self.drop = nn.Dropout(recipe.dropout)

    def forward(self, x):
        """x: (batch, time, features)."""
        x = self.residual * x + self.attention(self.norm1(x))
        return x + self.drop(self.fc2(self.act(self.fc1(self.norm2(x)))))


class Text(nn.Module):
    """(batch, time) of characters, 0 for one that is left out -> (batch, characters, time)."""

    def __init__(self, recipe, characters=96, wide=24, long=32):
        super().__init__()
        self.offset = recipe.offset
        self.embed = nn.Embedding(characters, wide, padding_idx=0 if recipe.padding else None)
        self.position = nn.Embedding(long + 1, wide)
        self.drop = nn.Dropout(recipe.dropout)
        self.blocks = nn.Sequential(Block(recipe, wide), Block(recipe, wide))
        self.norm = LayerNorm(wide, eps=recipe.norm_eps)
        self.last = recipe.last
        self.add_module(recipe.last, Linear(wide, characters, bias=recipe.biased))
        if recipe.tied:
            self.get_submodule(self.last).weight = self.embed.weight
        with torch.no_grad():
            self.embed.weight.mul_(0.5)

    def forward(self, x):
        """Logits."""
        at = torch.arange(x.shape[1]) + self.offset
        found = self.blocks(self.drop(self.embed(x) + self.position(at)))
        return getattr(self, self.last)(self.norm(found)).transpose(1, 2)


class Dense(nn.Module):
    """A layer, its norm, an activation, and what came in."""

    def __init__(self, recipe, wide):
        super().__init__()
        self.residual = recipe.residual
        self.fc = Linear(wide, wide)
        self.norm = nn.BatchNorm1d(wide, eps=recipe.norm_eps, momentum=recipe.norm_momentum)
        self.act = ACTIVATIONS[recipe.activation]()

    def forward(self, x):
        """x: (batch, features)."""
        return self.residual * x + self.act(self.norm(self.fc(x)))


class Tabular(nn.Module):
    """(batch, 10), of which the last is a category (0: unknown) -> (batch,)."""

    def __init__(self, recipe, wide=24):
        super().__init__()
        self.category = nn.Embedding(3, 3, padding_idx=0 if recipe.padding else None)
        self.fc = Linear(12, wide)
        self.norm = nn.BatchNorm1d(wide, eps=recipe.norm_eps, momentum=recipe.norm_momentum)
        self.act = ACTIVATIONS[recipe.activation]()
        self.drop = nn.Dropout(recipe.dropout)
        self.block = Dense(recipe, wide)
        self.last = recipe.last
        self.add_module(recipe.last, Linear(wide, 1, bias=recipe.biased))

    def forward(self, x):
        """What is expected."""
        whole = torch.cat([x[:, :9], self.category(x[:, 9].long())], 1)
        return getattr(self, self.last)(self.block(self.drop(self.act(self.norm(self.fc(whole)))))).squeeze(1)


NETWORKS = {"vision": Vision, "text": Text, "tabular": Tabular}


def network(recipe):
    """The network of a recipe, made from whatever torch's generator is at."""
    made = NETWORKS[recipe.program](recipe)
    for one in made.modules():
        if isinstance(one, (LayerNorm, Linear)):
            one.by_hand = recipe.by_hand
    return made


class Smoothed(nn.Module):
    """Cross entropy with smoothed labels, as a layer that some programs keep in their module."""

    def __init__(self, recipe):
        super().__init__()
        self.smoothing, self.reduction = recipe.smoothing, recipe.reduction
        self.register_buffer("weight", torch.linspace(0.9, 1.1, 10) if recipe.weights else None)

    def forward(self, logits, targets):
        """One number."""
        given = {"label_smoothing": self.smoothing, "reduction": self.reduction}
        return F.cross_entropy(logits, targets, self.weight, **given)
