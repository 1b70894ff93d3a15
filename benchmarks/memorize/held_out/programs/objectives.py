"""Objectives of their own kind: codebooks, pairs of modalities, episodes, two players, values and policies."""

import copy
import random
from collections import deque
from functools import cache

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import nn
from torch.distributions import Normal
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from ...task import Program, Task
from .settings import ALL, fresh, hyper, many, optimized, trainer, wide
from .vision import scans


class VectorQuantizer(nn.Module):
    def __init__(self, codes, dim, beta=0.25):
        super().__init__()
        self.codebook = nn.Embedding(codes, dim)
        nn.init.uniform_(self.codebook.weight, -0.5, 0.5)
        self.beta = beta

    def nearest(self, flat):
        return torch.cdist(flat, self.codebook.weight).argmin(dim=1)

    def forward(self, z):
        flat = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])
        quantized = self.codebook(self.nearest(flat))
        loss = F.mse_loss(quantized, flat.detach()) + self.beta * F.mse_loss(flat, quantized.detach())
        passed = flat + (quantized - flat).detach()
        b, d, h, w = z.shape
        return passed.view(b, h, w, d).permute(0, 3, 1, 2), loss


class VQVAE(LightningModule):
    def __init__(self, width=16, dropout=0.0, lr=5e-3, optimizer="adam", warmup=0, codes=32, dim=8):
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, width, 4, 2, 1), nn.ReLU(), nn.Dropout(dropout), nn.Conv2d(width, dim, 3, 1, 1)
        )
        self.quantizer = VectorQuantizer(codes, dim)
        self.decoder = nn.Sequential(nn.Conv2d(dim, width, 3, 1, 1), nn.ReLU(), nn.ConvTranspose2d(width, 1, 4, 2, 1))

    def forward(self, x):
        z, loss = self.quantizer(self.encoder(x))
        return self.decoder(z), loss

    def training_step(self, batch, batch_idx):
        (x,) = batch
        reconstruction, vq_loss = self(x)
        reconstruction_loss = F.mse_loss(reconstruction, x)
        self.log_dict({"reconstruction": reconstruction_loss, "vq": vq_loss})
        return reconstruction_loss + vq_loss

    def configure_optimizers(self):
        return optimized(self.parameters(), self.hparams)


def vq_vae(knobs):
    fresh(knobs)
    module = VQVAE(width=wide(knobs, 16), dropout=knobs.dropout, **hyper(knobs, 5e-3, sgd=0.2))
    images = (scans()[0] - 0.305) / 0.376
    loader = DataLoader(TensorDataset(images), batch_size=many(knobs, 16), shuffle=True)
    return Task(module=module, data=loader, trainer=trainer(knobs))


@cache
def captions():
    """Tokens for each digit: which it is, and how dark its four quarters are (five tokens, 10 + 4 * 8 of them)."""
    images, labels = scans()
    quarters = F.adaptive_avg_pool2d(images, 2).flatten(1)
    levels = torch.stack([torch.bucketize(q, q.quantile(torch.linspace(0, 1, 9)[1:-1])) for q in quarters.T], dim=1)
    return torch.cat([labels[:, None], 10 + 8 * torch.arange(4) + levels], dim=1)


class ImageTower(nn.Module):
    def __init__(self, width, dim, dropout):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, stride=2, padding=1)
        self.act = nn.GELU()
        self.dropout = nn.Dropout(dropout)
        self.proj = nn.Linear(16 * width, dim)

    def forward(self, image):
        return self.proj(self.dropout(self.act(self.conv(image)).flatten(1)))


class TextTower(nn.Module):
    def __init__(self, width, dim):
        super().__init__()
        self.embed = nn.Embedding(42, width)
        self.norm = nn.LayerNorm(width)
        self.proj = nn.Linear(width, dim)

    def forward(self, tokens):
        return self.proj(self.norm(self.embed(tokens).mean(dim=1)))


class CLIP(LightningModule):
    def __init__(self, width=16, dim=24, dropout=0.0, lr=3e-3, optimizer="adamw", warmup=0):
        super().__init__()
        self.save_hyperparameters()
        self.visual = ImageTower(width, dim, dropout)
        self.text = TextTower(2 * width, dim)
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    def forward(self, image, tokens):
        return F.normalize(self.visual(image), dim=-1), F.normalize(self.text(tokens), dim=-1)

    def contrast(self, image, text):
        logits = self.logit_scale.exp() * image @ text.T
        targets = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2

    def training_step(self, batch, batch_idx):
        loss = self.contrast(*self(batch["image"], batch["tokens"]))
        self.log("train_loss", loss, batch_size=len(batch["tokens"]))
        return loss

    def configure_optimizers(self):
        rest = [p for name, p in self.named_parameters() if name != "logit_scale"]
        return optimized([{"params": rest}, {"params": [self.logit_scale], "weight_decay": 0.0}], self.hparams)


class Captioned(Dataset):
    def __init__(self):
        self.images = (scans()[0] - 0.305) / 0.376
        self.tokens = captions()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return {"image": self.images[index], "tokens": self.tokens[index]}


def clip(knobs):
    fresh(knobs)
    chosen = hyper(knobs, 3e-3, sgd=0.05, optimizer="adamw")
    module = CLIP(width=wide(knobs, 16), dropout=knobs.dropout, **chosen)
    loader = DataLoader(Captioned(), batch_size=many(knobs, 16), shuffle=True, drop_last=True)
    return Task(module=module, data=loader, trainer=trainer(knobs))


class Episodes:
    """Draws `ways` classes and, for each, images to learn from and images to ask for: class after class."""

    def __init__(self, ways, shots, queries, count=100):
        self.labels = scans()[1]
        self.ways, self.each, self.count = ways, shots + queries, count

    def __len__(self):
        return self.count

    def __iter__(self):
        for _ in range(self.count):
            classes = torch.randperm(10)[: self.ways]
            yield torch.cat([self.pick(label) for label in classes]).tolist()

    def pick(self, label):
        found = (self.labels == label).nonzero().squeeze(1)
        return found[torch.randperm(len(found))[: self.each]]


class ProtoNet(LightningModule):
    """Prototypical networks: classes of an episode by the distance to the mean of their examples."""

    def __init__(self, ways=5, shots=3, hidden=32, dropout=0.0, lr=3e-3, optimizer="adam", warmup=0):
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, hidden // 2, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(8 * hidden, hidden),
        )

    def forward(self, images):
        return self.encoder(images)

    def split(self, images):
        features = self(images).view(self.hparams.ways, -1, self.hparams.hidden)
        return features[:, : self.hparams.shots], features[:, self.hparams.shots :]

    def scores(self, support, query):
        prototypes = support.mean(dim=1)
        return -torch.cdist(query.reshape(-1, query.shape[-1]), prototypes).pow(2) / query.shape[-1]

    def training_step(self, batch, batch_idx):
        images, _ = batch
        support, query = self.split(images)
        targets = torch.arange(self.hparams.ways, device=images.device).repeat_interleave(query.shape[1])
        scores = self.scores(support, query)
        loss = F.cross_entropy(scores, targets)
        self.log_dict({"loss": loss, "acc": (scores.argmax(1) == targets).float().mean()}, batch_size=len(images))
        return loss

    def configure_optimizers(self):
        return optimized(self.parameters(), self.hparams)


def few_shot(knobs):
    fresh(knobs)
    queries = max(1, round(4 * knobs.batch))
    module = ProtoNet(hidden=wide(knobs, 32), dropout=knobs.dropout, **hyper(knobs, 3e-3, sgd=0.05))
    images, labels = scans()
    dataset = TensorDataset((images - 0.305) / 0.376, labels)
    loader = DataLoader(dataset, batch_sampler=Episodes(5, 3, queries))
    return Task(module=module, data=loader, trainer=trainer(knobs))


@cache
def ring(count=2000):
    """Points around eight places on a circle (count, 2)."""
    draw = torch.Generator().manual_seed(14)
    angle = torch.randint(0, 8, (count,), generator=draw) * torch.pi / 4
    return torch.stack([angle.cos(), angle.sin()], dim=1) + 0.05 * torch.randn(count, 2, generator=draw)


def players(sizes):
    layers = [
        layer for a, b in zip(sizes[:-1], sizes[1:], strict=True) for layer in (nn.Linear(a, b), nn.LeakyReLU(0.2))
    ]
    return nn.Sequential(*layers[:-1])


class WGANGP(LightningModule):
    """Wasserstein GAN with gradient penalty, by manual optimization: a generator step after each critic step."""

    def __init__(self, hidden=32, latent=4, lr=1e-3, optimizer="adam", penalty=1.0):
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.generator = players([latent, hidden, hidden, 2])
        self.critic = players([2, hidden, hidden, 1])

    def forward(self, z):
        return self.generator(z)

    def sample(self, real):
        return torch.randn(len(real), self.hparams.latent, device=real.device)

    def gradient_penalty(self, real, fake):
        mix = torch.rand(len(real), 1, device=real.device)
        between = (mix * real + (1 - mix) * fake).requires_grad_(True)
        (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        return ((slope.norm(2, dim=1) - 1) ** 2).mean()

    def critic_loss(self, real):
        fake = self(self.sample(real)).detach()
        penalty = self.hparams.penalty * self.gradient_penalty(real, fake)
        return self.critic(fake).mean() - self.critic(real).mean() + penalty

    def generator_loss(self, real):
        return -self.critic(self(self.sample(real))).mean()

    def update(self, optimizer, loss):
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def training_step(self, batch, batch_idx):
        (real,) = batch
        generator, critic = self.optimizers()
        critic_loss = self.critic_loss(real)
        self.update(critic, critic_loss)
        self.toggle_optimizer(generator)
        generator_loss = self.generator_loss(real)
        self.update(generator, generator_loss)
        self.untoggle_optimizer(generator)
        self.log_dict({"critic_loss": critic_loss, "generator_loss": generator_loss}, prog_bar=True)

    def configure_optimizers(self):
        if self.hparams.optimizer == "sgd":
            return [torch.optim.SGD(net.parameters(), lr=self.hparams.lr) for net in (self.generator, self.critic)]
        kind = torch.optim.AdamW if self.hparams.optimizer == "adamw" else torch.optim.Adam
        nets = (self.generator, self.critic)
        return [kind(net.parameters(), lr=self.hparams.lr, betas=(0.5, 0.9)) for net in nets]


def wgan(knobs):
    fresh(knobs)
    chosen = hyper(knobs, 1e-3, sgd=0.02)
    chosen.pop("warmup")
    module = WGANGP(hidden=wide(knobs, 32), **chosen)
    loader = DataLoader(TensorDataset(ring()), batch_size=many(knobs, 64), shuffle=True)
    return Task(module=module, data=loader, trainer=trainer(knobs))


class Corridor:
    """Eight places in a row; the last one pays and ends the episode. A state is its place, one-hot."""

    def reset(self):
        self.place = 0
        return self.state()

    def state(self):
        return F.one_hot(torch.tensor(self.place), 8).float()

    def step(self, action):
        self.place = max(0, self.place + (1 if action else -1))
        done = self.place == 7
        return self.state(), 1.0 if done else -0.05, done


class RLDataset(IterableDataset):
    """What the buffer holds, as in Lightning's tutorial on DQN."""

    def __init__(self, buffer, sample_size):
        self.buffer = buffer
        self.sample_size = sample_size

    def __iter__(self):
        yield from random.sample(list(self.buffer), self.sample_size)


class DQN(LightningModule):
    def __init__(self, hidden=32, lr=3e-3, optimizer="adam", warmup=0, gamma=0.95, sync_rate=500):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(8, hidden), nn.ReLU(), nn.Linear(hidden, 2))
        self.target_net = copy.deepcopy(self.net)

    def forward(self, state):
        return self.net(state)

    def loss(self, batch):
        states, actions, rewards, dones, next_states = batch
        values = self.net(states).gather(1, actions.unsqueeze(-1)).squeeze(-1)
        with torch.no_grad():
            next_values = self.target_net(next_states).max(1)[0]
            next_values[dones] = 0.0
        return F.smooth_l1_loss(values, rewards + self.hparams.gamma * next_values)

    def training_step(self, batch, batch_idx):
        loss = self.loss(batch)
        if self.global_step and self.global_step % self.hparams.sync_rate == 0:
            self.target_net.load_state_dict(self.net.state_dict())
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        return optimized(self.net.parameters(), self.hparams)


def explore(count):
    """What a random walk through the corridor met: (state, action, reward, done, next state)."""
    world, buffer = Corridor(), deque(maxlen=count)
    draw = random.Random(0)
    state = world.reset()
    while len(buffer) < count:
        action = int(draw.random() < 0.65)
        following, reward, done = world.step(action)
        buffer.append((state, action, reward, done, following))
        state = world.reset() if done else following
    return buffer


def dqn(knobs):
    fresh(knobs)
    module = DQN(hidden=wide(knobs, 32), **hyper(knobs, 3e-3, sgd=0.1))
    size = many(knobs, 32)
    loader = DataLoader(RLDataset(explore(600), 200), batch_size=size)
    return Task(module=module, data=loader, trainer=trainer(knobs), frozen=("target_net.*",))


@cache
def rollout(count=1000):
    """Observations (count, 3), actions (count, 1), their log-probability, advantage and return (count,) each."""
    draw = torch.Generator().manual_seed(15)
    observations = torch.randn(count, 3, generator=draw)
    best = torch.tanh(observations @ torch.tensor([[1.0], [-0.5], [0.3]]))
    actions = torch.randn(count, 1, generator=draw)
    returns = 1 - (actions - best).squeeze(1) ** 2 + 0.5 * observations[:, 0]
    log_probability = Normal(torch.zeros_like(actions), 1.0).log_prob(actions).squeeze(1)
    advantages = returns - returns.mean()
    return observations, actions, log_probability, advantages / advantages.std(), returns


class PPO(LightningModule):
    def __init__(self, hidden=32, lr=2e-3, optimizer="adam", warmup=0, clip_ratio=0.2, value_weight=0.5):
        super().__init__()
        self.save_hyperparameters()
        self.actor = nn.Sequential(nn.Linear(3, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        self.log_std = nn.Parameter(torch.zeros(1))
        self.critic = nn.Sequential(nn.Linear(3, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, observation):
        return Normal(self.actor(observation), self.log_std.exp()), self.critic(observation).squeeze(-1)

    def actor_loss(self, policy, actions, old, advantages):
        ratio = (policy.log_prob(actions).squeeze(-1) - old).exp()
        clipped = ratio.clamp(1 - self.hparams.clip_ratio, 1 + self.hparams.clip_ratio)
        return -torch.min(ratio * advantages, clipped * advantages).mean()

    def critic_loss(self, values, returns):
        return F.mse_loss(values, returns)

    def training_step(self, batch, batch_idx):
        observations, actions, old, advantages, returns = batch
        policy, values = self(observations)
        actor = self.actor_loss(policy, actions, old, advantages)
        critic = self.critic_loss(values, returns)
        self.log_dict({"actor_loss": actor, "critic_loss": critic})
        return actor + self.hparams.value_weight * critic - 0.01 * policy.entropy().mean()

    def configure_optimizers(self):
        return optimized(self.parameters(), self.hparams)


def ppo(knobs):
    fresh(knobs)
    module = PPO(hidden=wide(knobs, 32), **hyper(knobs, 2e-3, sgd=0.02))
    loader = DataLoader(TensorDataset(*rollout()), batch_size=many(knobs, 32), shuffle=True)
    return Task(module=module, data=loader, trainer=trainer(knobs))


MOST = ALL - {"refactored"}
PROGRAMS = (
    Program(
        name="vq_vae",
        family="vq-vae",
        build=vq_vae,
        traits=frozenset({"autoencoder", "images", "relu", "hidden"}),
        knobs=MOST,
    ),
    Program(
        name="clip",
        family="contrastive",
        build=clip,
        traits=frozenset({"contrastive", "hidden"}),
        knobs=MOST,
    ),
    Program(
        name="few_shot",
        family="few-shot",
        build=few_shot,
        traits=frozenset({"contrastive", "images", "relu", "hidden"}),
        knobs=MOST,
    ),
    Program(
        name="critic",
        family="gan",
        build=wgan,
        traits=frozenset({"manual", "noise", "unbounded", "hidden"}),
        knobs=frozenset({"seed", "width", "lr", "optimizer", "batch", "precision"}),
    ),
    Program(
        name="dqn",
        family="q-learning",
        build=dqn,
        traits=frozenset({"iterable", "frozen", "relu", "hidden"}),
        knobs=MOST - {"dropout"},
    ),
    Program(
        name="ppo",
        family="policy gradient",
        build=ppo,
        traits=frozenset({"unbounded", "hidden"}),
        knobs=MOST - {"dropout"},
    ),
)
