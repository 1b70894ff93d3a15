"""Text: language models with and without a mask, tied weights, padded lines, an adapter, translation of a kind."""

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningDataModule, LightningModule
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset, Sampler

from ..task import Program, Task
from .datasets import TensorData, lines, reversals, text
from .recipe import arguments, hidden, recipe, rows, seeded
from .tabular import EVERY


class CharDataset(Dataset):
    """Windows of a text, and the same windows one character later."""

    def __init__(self, ids, block_size):
        self.ids = ids
        self.block_size = block_size

    def __len__(self):
        return (len(self.ids) - 1) // self.block_size

    def __getitem__(self, index):
        chunk = self.ids[index * self.block_size : (index + 1) * self.block_size + 1]
        return chunk[:-1], chunk[1:]


class TextData(LightningDataModule):
    def __init__(self, batch_size, block_size=24):
        super().__init__()
        self.batch_size, self.block_size = batch_size, block_size

    def setup(self, stage):
        ids, _ = text()
        self.train = CharDataset(ids[:-1500], self.block_size)
        self.val = CharDataset(ids[-1500:], self.block_size)

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=self.batch_size, shuffle=True, drop_last=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=self.batch_size)


class SelfAttention(nn.Module):
    def __init__(self, width, heads, causal):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.heads, self.causal = heads, causal

    def forward(self, x, mask=None):
        n, t, d = x.shape
        q, k, v = (part.view(n, t, self.heads, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=self.causal)
        return self.out(y.transpose(1, 2).reshape(n, t, d))


class TransformerBlock(nn.Module):
    def __init__(self, width, dropout, causal):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, 4, causal)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.Dropout(dropout)
        )

    def forward(self, x, mask=None):
        x = x + self.attention(self.ln1(x), mask)
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    def __init__(self, vocabulary, width, dropout, block_size=24, causal=True):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(block_size, width)
        self.block = TransformerBlock(width, dropout, causal)
        self.ln = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.apply(self._initialise)

    def _initialise(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)

    def forward(self, ids):
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        return self.head(self.ln(self.block(x)))


class LitGPT(LightningModule):
    def __init__(self, net, recipe):
        super().__init__()
        self.net = net
        self.recipe = recipe

    def forward(self, ids):
        return self.net(ids)

    def training_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        loss = F.cross_entropy(logits.view(-1, logits.size(-1)), y.reshape(-1))
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", F.cross_entropy(self(x).transpose(1, 2), y))

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitGPTRewritten(LitGPT):
    def __init__(self, net, recipe):
        super().__init__(net, recipe)
        self.criterion = nn.CrossEntropyLoss()

    def training_step(self, batch, batch_idx):
        loss = self._loss(batch)
        self.log("loss", loss)
        return {"loss": loss}

    def _loss(self, batch):
        context, following = batch
        return self.criterion(self.net(context).permute(0, 2, 1), following)


@seeded
def char_gpt(knobs):
    net = GPT(text()[1], hidden(knobs, 32), knobs.dropout)
    module = (LitGPTRewritten if knobs.refactored else LitGPT)(net, recipe(knobs, 5e-3, optimizer="adamw", sgd=0.1))
    return Task(module=module, data=TextData(rows(knobs, 16)), trainer=arguments(knobs))


class TiedLSTM(nn.Module):
    """Input and output embeddings are one (Press and Wolf 2017), left at PyTorch's N(0, 1)."""

    def __init__(self, vocabulary, width, dropout):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.decoder = nn.Linear(width, vocabulary)
        self.decoder.weight = self.embedding.weight

    def forward(self, ids):
        h, _ = self.lstm(self.embedding(ids))
        return self.decoder(self.dropout(h))


@seeded
def tied_lstm(knobs):
    net = TiedLSTM(text()[1], hidden(knobs, 48), knobs.dropout)
    module = (LitGPTRewritten if knobs.refactored else LitGPT)(net, recipe(knobs, 1e-2, sgd=0.5))
    return Task(module=module, data=TextData(rows(knobs, 16), block_size=16), trainer=arguments(knobs))


class MaskedData(TextData):
    """A fifth of the characters are hidden, others each time; what was not hidden is no target."""

    def collate(self, samples):
        ids = torch.stack([sample[0] for sample in samples])
        hidden = torch.rand(ids.shape) < 0.2
        return {
            "ids": ids.masked_fill(hidden, text()[1]),
            "labels": ids.masked_fill(~hidden, -100),
        }

    def train_dataloader(self):
        return DataLoader(self.train, self.batch_size, shuffle=True, drop_last=True, collate_fn=self.collate)

    def val_dataloader(self):
        return DataLoader(self.val, self.batch_size, collate_fn=self.collate)


class LitMasked(LightningModule):
    def __init__(self, net, recipe):
        super().__init__()
        self.net = net
        self.recipe = recipe

    def forward(self, ids):
        return self.net(ids)

    def loss(self, batch):
        return F.cross_entropy(self(batch["ids"]).flatten(0, 1), batch["labels"].flatten())

    def training_step(self, batch, batch_idx):
        loss = self.loss(batch)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitMaskedRewritten(LitMasked):
    def loss(self, batch):
        scores, labels = self.net(batch["ids"]), batch["labels"]
        asked = labels >= 0
        return nn.CrossEntropyLoss()(scores[asked], labels[asked])


@seeded
def masked_lm(knobs):
    vocabulary = text()[1] + 1
    net = GPT(vocabulary, hidden(knobs, 32), knobs.dropout, causal=False)
    module = (LitMaskedRewritten if knobs.refactored else LitMasked)(net, recipe(knobs, 5e-3, sgd=0.05))
    return Task(module=module, data=MaskedData(rows(knobs, 16)), trainer=arguments(knobs))


class Lines(Dataset):
    """Lines of text of up to 32 characters, and which data set they describe."""

    def __init__(self):
        self.samples = [(torch.tensor(ids[:32]), label) for ids, label in lines()[0]]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


class ByLength(Sampler):
    """Batches of lines of about one length, in random order."""

    def __init__(self, lengths, batch_size):
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        self.batches = [order[i : i + batch_size] for i in range(0, len(order) - batch_size + 1, batch_size)]

    def __iter__(self):
        return iter([self.batches[i] for i in torch.randperm(len(self.batches)).tolist()])

    def __len__(self):
        return len(self.batches)


def padded(samples):
    ids, labels = zip(*samples, strict=True)
    lengths = torch.tensor([len(line) for line in ids])
    return pad_sequence(ids, batch_first=True), lengths, torch.tensor(labels)


class LinesData(LightningDataModule):
    def __init__(self, batch_size, by_length=False):
        super().__init__()
        self.batch_size, self.by_length = batch_size, by_length

    def setup(self, stage):
        parts = torch.utils.data.random_split(Lines(), [0.8, 0.2], torch.Generator().manual_seed(42))
        self.train, self.val = parts

    def train_dataloader(self):
        if not self.by_length:
            return DataLoader(self.train, self.batch_size, shuffle=True, collate_fn=padded)
        sampler = ByLength([len(ids) for ids, _ in self.train], self.batch_size)
        return DataLoader(self.train, batch_sampler=sampler, collate_fn=padded)

    def val_dataloader(self):
        return DataLoader(self.val, self.batch_size, collate_fn=padded)


class LineLSTM(nn.Module):
    def __init__(self, vocabulary, width, dropout):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * width, 4))

    def forward(self, ids, lengths):
        packed = pack_padded_sequence(self.embedding(ids), lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, (h, _) = self.lstm(packed)
        return self.head(torch.cat([h[0], h[1]], 1))


class LineTransformer(nn.Module):
    def __init__(self, vocabulary, width, dropout):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.positions = nn.Parameter(0.02 * torch.randn(32, width))
        self.block = TransformerBlock(width, dropout, causal=False)
        self.head = nn.Linear(width, 4)

    def forward(self, ids, lengths):
        there = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        x = self.block(self.embedding(ids) + self.positions[: ids.shape[1]], mask=there[:, None, None])
        return self.head((x * there.unsqueeze(2)).sum(1) / lengths[:, None])


class LitLines(LightningModule):
    def __init__(self, net, recipe):
        super().__init__()
        self.net = net
        self.recipe = recipe

    def forward(self, ids, lengths):
        return self.net(ids, lengths)

    def training_step(self, batch, batch_idx):
        ids, lengths, labels = batch
        loss = F.cross_entropy(self(ids, lengths), labels)
        self.log("train_loss", loss, batch_size=len(ids))
        return loss

    def validation_step(self, batch, batch_idx):
        ids, lengths, labels = batch
        self.log("val_acc", (self(ids, lengths).argmax(1) == labels).float().mean(), batch_size=len(ids))

    def configure_optimizers(self):
        return self.recipe.configure(filter(lambda p: p.requires_grad, self.parameters()))


class LitLinesRewritten(LitLines):
    def __init__(self, net, recipe):
        super().__init__(net, recipe)
        self.loss = nn.NLLLoss()

    def training_step(self, batch, batch_idx):
        *inputs, labels = batch
        return self.loss(self(*inputs).log_softmax(dim=1), labels)


@seeded
def lines_lstm(knobs):
    net = LineLSTM(lines()[1], hidden(knobs, 24), knobs.dropout)
    module = (LitLinesRewritten if knobs.refactored else LitLines)(net, recipe(knobs, 1e-2, sgd=0.3))
    return Task(module=module, data=LinesData(rows(knobs, 16), by_length=True), trainer=arguments(knobs))


@seeded
def lines_transformer(knobs):
    net = LineTransformer(lines()[1], hidden(knobs, 32), knobs.dropout)
    module = (LitLinesRewritten if knobs.refactored else LitLines)(net, recipe(knobs, 3e-3, sgd=0.02))
    return Task(module=module, data=LinesData(rows(knobs, 16)), trainer=arguments(knobs))


class LoRA(nn.Module):
    """A linear layer that stays as it is, and a low-rank change of it that starts at zero (Hu et al. 2022)."""

    def __init__(self, base, rank):
        super().__init__()
        self.base = base
        self.lora_a = nn.Parameter(torch.randn(rank, base.in_features) / rank)
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        return self.base(x) + x @ self.lora_a.T @ self.lora_b.T


def adapted(vocabulary, width, dropout, rank=8):
    """A transformer as it would come from a hub (the same for each seed), with adapters; a head is trained anew."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4321)
        net = LineTransformer(vocabulary, width, dropout).requires_grad_(False)
    block = net.block
    block.attention.qkv, block.attention.out = LoRA(block.attention.qkv, rank), LoRA(block.attention.out, rank)
    block.mlp[0], block.mlp[2] = LoRA(block.mlp[0], rank), LoRA(block.mlp[2], rank)
    net.head = nn.Linear(width, 4)
    return net


@seeded
def lines_lora(knobs):
    net = adapted(lines()[1], hidden(knobs, 32), knobs.dropout)
    module = (LitLinesRewritten if knobs.refactored else LitLines)(
        net, recipe(knobs, 1e-2, optimizer="adamw", sgd=0.05)
    )
    frozen = ("net.embedding.*", "net.positions", "net.block.ln*", "*.base.*")
    return Task(module=module, data=LinesData(rows(knobs, 16)), trainer=arguments(knobs), frozen=frozen)


class LitReverse(LightningModule):
    """Encoder and decoder; the decoder sees what came before, the loss smooths its labels. Id 0 starts, 1 is unused."""

    def __init__(self, width, dropout, recipe):
        super().__init__()
        self.embedding = nn.Embedding(12, width)
        self.encoder = nn.GRU(width, width, batch_first=True)
        self.decoder = nn.GRU(width, width, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 12))
        self.recipe = recipe

    def forward(self, source, before):
        _, state = self.encoder(self.embedding(source))
        out, _ = self.decoder(self.embedding(before), state)
        return self.head(out)

    def training_step(self, batch, batch_idx):
        source, target = batch
        logits = self(source, target[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), label_smoothing=0.1)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        source, target = batch
        self.log("val_acc", (self(source, target[:, :-1]).argmax(2) == target[:, 1:]).float().mean())

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitReverseRewritten(LitReverse):
    def __init__(self, *args):
        super().__init__(*args)
        self.criterion = nn.CrossEntropyLoss(label_smoothing=0.1)

    def training_step(self, batch, batch_idx):
        source, target = batch
        decoder_input, wanted = target[:, :-1], target[:, 1:]
        return self.criterion(self(source, decoder_input).transpose(1, 2), wanted)


@seeded
def reverse(knobs):
    kind = LitReverseRewritten if knobs.refactored else LitReverse
    module = kind(hidden(knobs, 48), knobs.dropout, recipe(knobs, 1e-2, sgd=0.5))
    return Task(module=module, data=TensorData(*reversals(), batch_size=rows(knobs, 16)), trainer=arguments(knobs))


TEXT = frozenset({"tokens", "sequence", "hidden", "datamodule"})
PROGRAMS = (
    Program(name="char-gpt", family="causal-lm", build=char_gpt, traits=TEXT | {"classes", "causal"}, knobs=EVERY),
    Program(name="tied-lstm", family="tied-lm", build=tied_lstm, traits=TEXT | {"classes", "causal"}, knobs=EVERY),
    Program(name="masked-lm", family="masked-lm", build=masked_lm, traits=TEXT | {"classes"}, knobs=EVERY),
    Program(name="lines-lstm", family="lstm", build=lines_lstm, traits=TEXT | {"classes", "padding"}, knobs=EVERY),
    Program(
        name="lines-transformer",
        family="transformer",
        build=lines_transformer,
        traits=TEXT | {"classes", "padding"},
        knobs=EVERY,
    ),
    Program(
        name="lines-lora",
        family="lora",
        build=lines_lora,
        traits=TEXT | {"classes", "padding", "frozen"},
        knobs=EVERY,
    ),
    Program(name="reverse", family="seq2seq", build=reverse, traits=TEXT | {"classes"}, knobs=EVERY),
)
