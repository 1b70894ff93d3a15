"""Tokens: a small GPT on Python's own help, a tagger in the style of Hugging Face, speech with CTC."""

import math
from dataclasses import dataclass
from functools import cache
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningDataModule, LightningModule
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset

from ...task import Program, Task
from .settings import ALL, fresh, hyper, many, optimized, trainer, wide


@cache
def characters():
    """Python's help on statements as ids of its characters, and how many there are."""
    text = "".join(topics[name] for name in ("if", "for", "while", "try", "with", "assert", "import", "return"))
    letters = sorted(set(text))
    index = {letter: i for i, letter in enumerate(letters)}
    return torch.tensor([index[letter] for letter in text]), len(letters)


class CharDataset(Dataset):
    def __init__(self, block_size):
        self.data, self.vocab_size = characters()
        self.block_size = block_size

    def __len__(self):
        return len(self.data) - self.block_size

    def __getitem__(self, idx):
        chunk = self.data[idx : idx + self.block_size + 1]
        return chunk[:-1], chunk[1:]


class CausalSelfAttention(nn.Module):
    def __init__(self, n_embd, n_head, block_size, dropout):
        super().__init__()
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)
        self.resid_dropout = nn.Dropout(dropout)
        self.n_head = n_head
        self.register_buffer("bias", torch.tril(torch.ones(block_size, block_size)).bool())

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = (
            part.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for part in self.c_attn(x).chunk(3, -1)
        )
        att = (q @ k.transpose(-2, -1)) / math.sqrt(k.size(-1))
        att = att.masked_fill(~self.bias[:T, :T], float("-inf")).softmax(dim=-1)
        y = (att @ v).transpose(1, 2).contiguous().view(B, T, C)
        return self.resid_dropout(self.c_proj(y))


class Block(nn.Module):
    def __init__(self, n_embd, n_head, block_size, dropout):
        super().__init__()
        self.ln_1 = nn.LayerNorm(n_embd)
        self.attn = CausalSelfAttention(n_embd, n_head, block_size, dropout)
        self.ln_2 = nn.LayerNorm(n_embd)
        self.mlp = nn.Sequential(nn.Linear(n_embd, 4 * n_embd), nn.GELU(), nn.Linear(4 * n_embd, n_embd))

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """Token and position embeddings, blocks, a head tied to the token embedding; the loss is the model's."""

    def __init__(self, vocab_size, block_size, n_embd, dropout, n_layer=2, n_head=2):
        super().__init__()
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.wpe = nn.Embedding(block_size, n_embd)
        self.h = nn.ModuleList(Block(n_embd, n_head, block_size, dropout) for _ in range(n_layer))
        self.ln_f = nn.LayerNorm(n_embd)
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)
        self.wte.weight = self.lm_head.weight
        self.apply(self._init_weights)

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def embed(self, idx):
        return self.wte(idx) + self.wpe(torch.arange(idx.size(1), device=idx.device))

    def forward(self, idx, targets=None):
        x = self.embed(idx)
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.reshape(-1))


class LitGPT(LightningModule):
    def __init__(self, vocab_size, block_size=24, n_embd=32, dropout=0.0, lr=3e-3, optimizer="adamw", warmup=0):
        super().__init__()
        self.save_hyperparameters()
        self.gpt = GPT(vocab_size, block_size, n_embd, dropout)

    def forward(self, idx):
        return self.gpt(idx)[0]

    def training_step(self, batch, batch_idx):
        idx, targets = batch
        _, loss = self.gpt(idx, targets)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        decay = [p for p in self.parameters() if p.dim() >= 2]
        no_decay = [p for p in self.parameters() if p.dim() < 2]
        groups = [{"params": decay, "weight_decay": 0.1}, {"params": no_decay, "weight_decay": 0.0}]
        if self.hparams.optimizer == "sgd":
            optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams.lr, momentum=0.9)
        else:
            optimizer = torch.optim.AdamW(groups, lr=self.hparams.lr, betas=(0.9, 0.95))
        if not self.hparams.warmup:
            return optimizer
        ramp = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / self.hparams.warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": ramp, "interval": "step"}}


class LitGPTOutside(LitGPT):
    """The same, with the loss outside of the model."""

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        logits = self(inputs)
        loss = nn.CrossEntropyLoss()(logits.flatten(0, 1), labels.flatten())
        self.log("train/loss", loss)
        return loss


def char_gpt(knobs):
    fresh(knobs)
    dataset = CharDataset(24)
    kind = LitGPTOutside if knobs.refactored else LitGPT
    chosen = hyper(knobs, 3e-3, sgd=0.2, optimizer="adamw")
    module = kind(dataset.vocab_size, n_embd=wide(knobs, 32), dropout=knobs.dropout, **chosen)
    loader = DataLoader(dataset, batch_size=many(knobs, 8), shuffle=True)
    return Task(module=module, data=loader, trainer=trainer(knobs))


@dataclass
class TokenClassifierOutput:
    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None


@cache
def tagged_sentences(count=500):
    """Words of Python's help as ids, tagged by their shape: 0 other, 1 quoted, 2 capitalised, 3 with punctuation."""
    words = [word for name in ("class", "function", "global") for word in topics.get(name, "").split()] or ["none"]
    words += topics["objects"].split()
    vocabulary = {word: i + 1 for i, word in enumerate(sorted(set(words)))}
    draw = torch.Generator().manual_seed(1)
    lengths = torch.randint(5, 15, (count,), generator=draw).tolist()
    starts = torch.randint(0, len(words) - 15, (count,), generator=draw).tolist()
    sentences = [words[start : start + length] for start, length in zip(starts, lengths, strict=True)]
    return [([vocabulary[w] for w in s], [tag(w) for w in s]) for s in sentences], len(vocabulary) + 1


def tag(word):
    if '"' in word:
        return 1
    if word[0].isupper():
        return 2
    return 0 if word.isalpha() else 3


class DataCollatorForTokenClassification:
    """Pads; labels of the padding are -100."""

    def __call__(self, features):
        ids = pad_sequence([torch.tensor(ids) for ids, _ in features], batch_first=True)
        labels = pad_sequence([torch.tensor(tags) for _, tags in features], batch_first=True, padding_value=-100)
        return {"input_ids": ids, "attention_mask": (labels != -100).long(), "labels": labels}


class EncoderForTokenClassification(nn.Module):
    def __init__(self, vocab_size, hidden_size, dropout, num_labels=4, max_length=16):
        super().__init__()
        self.embeddings = nn.Embedding(vocab_size, hidden_size, padding_idx=0)
        self.positions = nn.Embedding(max_length, hidden_size)
        self.encoder = nn.TransformerEncoderLayer(
            hidden_size, nhead=2, dim_feedforward=2 * hidden_size, dropout=dropout, batch_first=True
        )
        self.classifier = nn.Linear(hidden_size, num_labels)
        self.num_labels = num_labels

    def key_padding(self, attention_mask):
        return attention_mask == 0

    def compute_loss(self, logits, labels):
        return F.cross_entropy(logits.view(-1, self.num_labels), labels.view(-1))

    def forward(self, input_ids, attention_mask, labels=None):
        positions = torch.arange(input_ids.size(1), device=input_ids.device)
        hidden = self.embeddings(input_ids) + self.positions(positions)
        hidden = self.encoder(hidden, src_key_padding_mask=self.key_padding(attention_mask))
        logits = self.classifier(hidden)
        loss = self.compute_loss(logits, labels) if labels is not None else None
        return TokenClassifierOutput(loss=loss, logits=logits)


class TokenClassificationTransformer(LightningModule):
    def __init__(self, vocab_size, hidden_size=32, dropout=0.0, lr=3e-3, optimizer="adamw", warmup=0):
        super().__init__()
        self.save_hyperparameters()
        self.model = EncoderForTokenClassification(vocab_size, hidden_size, dropout)

    def forward(self, **inputs):
        return self.model(**inputs)

    def training_step(self, batch, batch_idx):
        outputs = self(**batch)
        self.log("train_loss", outputs.loss, batch_size=len(batch["labels"]))
        return outputs.loss

    def validation_step(self, batch, batch_idx):
        outputs = self(**batch)
        known = batch["labels"] != -100
        right = outputs.logits.argmax(-1)[known] == batch["labels"][known]
        self.log("val_acc", right.float().mean(), batch_size=len(batch["labels"]))

    def configure_optimizers(self):
        return optimized(self.parameters(), self.hparams)


class NERDataModule(LightningDataModule):
    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size
        self.collator = DataCollatorForTokenClassification()

    def setup(self, stage=None):
        sentences, self.vocab_size = tagged_sentences()
        self.train, self.val = sentences[:400], sentences[400:]

    def train_dataloader(self):
        return DataLoader(self.train, self.batch_size, shuffle=True, collate_fn=self.collator)

    def val_dataloader(self):
        return DataLoader(self.val, self.batch_size, collate_fn=self.collator)


def token_tagger(knobs):
    fresh(knobs)
    chosen = hyper(knobs, 3e-3, sgd=0.1, optimizer="adamw")
    size = tagged_sentences()[1]
    module = TokenClassificationTransformer(size, hidden_size=wide(knobs, 32), dropout=knobs.dropout, **chosen)
    return Task(module=module, data=NERDataModule(many(knobs, 16)), trainer=trainer(knobs))


@cache
def utterances(count=300, alphabet=6, features=10):
    """Frames (T, features) of letters that each last three to five frames, and the letters (1..alphabet)."""
    draw = torch.Generator().manual_seed(6)
    sounds = 1.5 * torch.randn(alphabet + 1, features, generator=draw)
    found = []
    for _ in range(count):
        letters = torch.randint(1, alphabet + 1, (int(torch.randint(2, 5, (), generator=draw)),), generator=draw)
        lengths = torch.randint(3, 6, (len(letters),), generator=draw)
        frames = sounds[letters].repeat_interleave(lengths, dim=0)
        found.append((frames + 0.3 * torch.randn(frames.shape, generator=draw), letters))
    return found


def collate_speech(samples):
    frames, letters = zip(*samples, strict=True)
    sizes = torch.tensor([len(frame) for frame in frames])
    lengths = torch.tensor([len(letter) for letter in letters])
    return pad_sequence(frames, batch_first=True), pad_sequence(letters, batch_first=True), sizes, lengths


class SpeechRecognizer(LightningModule):
    """A bidirectional GRU over spectrograms; letters by connectionist temporal classification."""

    def __init__(self, hidden=32, dropout=0.0, lr=1e-2, optimizer="adam", warmup=0):
        super().__init__()
        self.save_hyperparameters()
        self.norm = nn.LayerNorm(10)
        self.rnn = nn.GRU(10, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2 * hidden, 7)
        self.ctc = nn.CTCLoss(blank=0, zero_infinity=True)

    def forward(self, spectrograms, input_lengths):
        packed = nn.utils.rnn.pack_padded_sequence(
            self.norm(spectrograms), input_lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        output, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return self.fc(self.dropout(output))

    def criterion(self, logits, labels, input_lengths, label_lengths):
        log_probs = F.log_softmax(logits, dim=2).transpose(0, 1)
        return self.ctc(log_probs, labels, input_lengths, label_lengths)

    def training_step(self, batch, batch_idx):
        spectrograms, labels, input_lengths, label_lengths = batch
        logits = self(spectrograms, input_lengths)
        loss = self.criterion(logits, labels, input_lengths, label_lengths)
        self.log("train_loss", loss, batch_size=len(labels))
        return loss

    def configure_optimizers(self):
        return optimized(self.parameters(), self.hparams)


class SpeechRecognizerFunctional(SpeechRecognizer):
    """The same, with the loss as a function."""

    def training_step(self, batch, batch_idx):
        frames, letters, sizes, lengths = batch
        emissions = self(frames, sizes).log_softmax(dim=-1).permute(1, 0, 2)
        loss = F.ctc_loss(emissions, letters, sizes, lengths, zero_infinity=True)
        self.log("loss", loss, batch_size=len(letters))
        return loss


def speech(knobs):
    fresh(knobs)
    kind = SpeechRecognizerFunctional if knobs.refactored else SpeechRecognizer
    module = kind(hidden=wide(knobs, 32), dropout=knobs.dropout, **hyper(knobs, 1e-2, sgd=0.1))
    loader = DataLoader(utterances(), batch_size=many(knobs, 8), shuffle=True, collate_fn=collate_speech)
    return Task(module=module, data=loader, trainer=trainer(knobs))


PROGRAMS = (
    Program(
        name="char_gpt",
        family="language model",
        build=char_gpt,
        traits=frozenset({"classes", "tokens", "causal", "sequence", "hidden"}),
        knobs=ALL,
    ),
    Program(
        name="token_tagger",
        family="token classification",
        build=token_tagger,
        traits=frozenset({"classes", "tokens", "sequence", "padding", "hidden", "datamodule"}),
        knobs=ALL - {"refactored"},
    ),
    Program(
        name="speech",
        family="ctc",
        build=speech,
        traits=frozenset({"sequence", "padding", "hidden"}),
        knobs=ALL,
    ),
)
