"""Models of the data themselves: autoencoders, a VAE, diffusion, a flow, two GANs."""

import math

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import nn

from ..task import Program, Task
from .datasets import TensorData, digits, moons
from .recipe import arguments, hidden, recipe, rows, seeded
from .tabular import EVERY


def coder(inputs, width, outputs, dropout):
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, outputs))


class LitAutoencoder(LightningModule):
    def __init__(self, width, dropout, recipe, noise=0.0):
        super().__init__()
        self.encoder = coder(64, width, 16, dropout)
        self.decoder = coder(16, width, 64, dropout)
        self.recipe = recipe
        self.noise = noise

    def forward(self, x):
        return self.decoder(self.encoder(x))

    def training_step(self, batch, batch_idx):
        (x,) = batch
        loss = F.mse_loss(self(x + self.noise * torch.randn_like(x)), x)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        (x,) = batch
        self.log("val_loss", F.mse_loss(self(x), x))

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitAutoencoderRewritten(LitAutoencoder):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.loss = nn.MSELoss()

    def disturbed(self, images):
        return images + self.noise * torch.randn_like(images)

    def training_step(self, batch, batch_idx):
        images = batch[0]
        code = self.encoder(self.disturbed(images))
        return self.loss(self.decoder(code), images)


def _autoencoder(knobs, noise):
    kind = LitAutoencoderRewritten if knobs.refactored else LitAutoencoder
    module = kind(hidden(knobs, 128), knobs.dropout, recipe(knobs, 3e-3, sgd=1.0), noise)
    return Task(module=module, data=TensorData(digits()[0], batch_size=rows(knobs, 32)), trainer=arguments(knobs))


@seeded
def autoencoder(knobs):
    return _autoencoder(knobs, 0.0)


@seeded
def denoising(knobs):
    return _autoencoder(knobs, 0.2)


class LitVAE(LightningModule):
    """Bernoulli pixels; the bound of Kingma and Welling (2014), in nats per image."""

    def __init__(self, width, dropout, recipe):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout))
        self.mean = nn.Linear(width, 8)
        self.log_variance = nn.Linear(width, 8)
        self.decoder = coder(8, width, 64, dropout)
        self.recipe = recipe

    def forward(self, x):
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return self.decoder(z), mean, log_variance

    def terms(self, x):
        logits, mean, log_variance = self(x)
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1).mean()
        divergence = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum(1).mean()
        return reconstruction, divergence

    def training_step(self, batch, batch_idx):
        reconstruction, divergence = self.terms(batch[0])
        self.log_dict({"train_reconstruction": reconstruction, "train_kl": divergence})
        return reconstruction + divergence

    def validation_step(self, batch, batch_idx):
        self.log("val_elbo", -sum(self.terms(batch[0])))

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitVAERewritten(LitVAE):
    def encode(self, images):
        h = self.encoder(images)
        return torch.distributions.Normal(self.mean(h), (0.5 * self.log_variance(h)).exp())

    def training_step(self, batch, batch_idx):
        posterior = self.encode(batch[0])
        logits = self.decoder(posterior.rsample())
        prior = torch.distributions.Normal(torch.zeros_like(posterior.loc), torch.ones_like(posterior.scale))
        likelihood = F.binary_cross_entropy_with_logits(logits, batch[0], reduction="sum") / len(logits)
        loss = likelihood + torch.distributions.kl_divergence(posterior, prior).sum(1).mean()
        self.log("loss", loss)
        return loss


@seeded
def vae(knobs):
    kind = LitVAERewritten if knobs.refactored else LitVAE
    module = kind(hidden(knobs, 128), knobs.dropout, recipe(knobs, 3e-3, sgd=0.005))
    return Task(module=module, data=TensorData(digits()[0], batch_size=rows(knobs, 32)), trainer=arguments(knobs))


class LitDiffusion(LightningModule):
    """Predicts the noise at a random time of a cosine schedule (Ho et al. 2020, Nichol and Dhariwal 2021)."""

    def __init__(self, width, dropout, recipe):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(64 + 16, width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 64),
        )
        self.register_buffer("frequencies", torch.arange(1, 9) * math.pi)
        self.recipe = recipe

    def forward(self, x, t):
        angles = t[:, None] * self.frequencies
        return self.net(torch.cat([x, angles.sin(), angles.cos()], 1))

    def loss(self, x):
        t = torch.rand(len(x), device=x.device)
        noise = torch.randn_like(x)
        angle = (t * math.pi / 2)[:, None]
        return F.mse_loss(self(angle.cos() * x + angle.sin() * noise, t), noise)

    def training_step(self, batch, batch_idx):
        loss = self.loss(2 * batch[0] - 1)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(2 * batch[0] - 1))

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitDiffusionRewritten(LitDiffusion):
    def training_step(self, batch, batch_idx):
        images = batch[0] * 2 - 1
        noisy, time, noise = self._noised(images)
        return (self(noisy, time) - noise).square().mean()

    def _noised(self, images):
        time = torch.rand(images.shape[0], device=self.device)
        noise = torch.randn_like(images)
        angle = time.mul(math.pi / 2).unsqueeze(1)
        return images * angle.cos() + noise * angle.sin(), time, noise


@seeded
def diffusion(knobs):
    kind = LitDiffusionRewritten if knobs.refactored else LitDiffusion
    module = kind(hidden(knobs, 128), knobs.dropout, recipe(knobs, 3e-3, optimizer="adamw", sgd=0.3))
    return Task(module=module, data=TensorData(digits()[0], batch_size=rows(knobs, 32)), trainer=arguments(knobs))


class Coupling(nn.Module):
    """An affine coupling layer (Dinh et al. 2017); its scale starts at one."""

    def __init__(self, width, first):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 2))
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)
        self.first = first

    def forward(self, x):
        kept, moved = x.chunk(2, 1) if self.first else x.chunk(2, 1)[::-1]
        scale, shift = self.net(kept).chunk(2, 1)
        scale = scale.tanh()
        moved = moved * scale.exp() + shift
        return torch.cat([kept, moved] if self.first else [moved, kept], 1), scale.sum(1)


class LitFlow(LightningModule):
    def __init__(self, width, recipe):
        super().__init__()
        self.layers = nn.ModuleList([Coupling(width, first=bool(index % 2)) for index in range(4)])
        self.recipe = recipe

    def log_prob(self, x):
        volume = 0
        for layer in self.layers:
            x, added = layer(x)
            volume = volume + added
        return -0.5 * (x.square() + math.log(2 * math.pi)).sum(1) + volume

    def training_step(self, batch, batch_idx):
        loss = -self.log_prob(batch[0]).mean()
        self.log("train_nll", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_nll", -self.log_prob(batch[0]).mean())

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitFlowRewritten(LitFlow):
    def forward(self, x):
        volumes = []
        for layer in self.layers:
            x, added = layer(x)
            volumes.append(added)
        return x, torch.stack(volumes).sum(0)

    def training_step(self, batch, batch_idx):
        z, volume = self(batch[0])
        prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
        return -(prior + volume).mean()


@seeded
def flow(knobs):
    kind = LitFlowRewritten if knobs.refactored else LitFlow
    module = kind(hidden(knobs, 32), recipe(knobs, 5e-3))
    return Task(module=module, data=TensorData(moons(), batch_size=rows(knobs, 64)), trainer=arguments(knobs))


class LitGAN(LightningModule):
    """Two optimizers, by hand."""

    def __init__(self, width, dropout, lr, betas=(0.5, 0.999)):
        super().__init__()
        self.automatic_optimization = False
        self.generator = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 64), nn.Sigmoid())
        self.discriminator = nn.Sequential(
            nn.Linear(64, width), nn.LeakyReLU(0.2), nn.Dropout(dropout), nn.Linear(width, 1)
        )
        self.lr, self.betas = lr, betas

    def forward(self, z):
        return self.generator(z)

    def training_step(self, batch, batch_idx):
        (real,) = batch
        g_opt, d_opt = self.optimizers()
        z = torch.randn(len(real), 8, device=self.device)
        ones, zeros = torch.ones(len(real), 1, device=self.device), torch.zeros(len(real), 1, device=self.device)

        d_real = F.binary_cross_entropy_with_logits(self.discriminator(real), ones)
        d_fake = F.binary_cross_entropy_with_logits(self.discriminator(self(z).detach()), zeros)
        d_loss = (d_real + d_fake) / 2
        d_opt.zero_grad()
        self.manual_backward(d_loss)
        d_opt.step()

        g_loss = F.binary_cross_entropy_with_logits(self.discriminator(self(z)), ones)
        g_opt.zero_grad()
        self.manual_backward(g_loss)
        g_opt.step()
        self.log_dict({"d_loss": d_loss, "g_loss": g_loss}, prog_bar=True)

    def validation_step(self, batch, batch_idx):
        z = torch.randn(len(batch[0]), 8, device=self.device)
        self.log("val_fooled", (self.discriminator(self(z)) > 0).float().mean())

    def configure_optimizers(self):
        g_opt = torch.optim.Adam(self.generator.parameters(), lr=self.lr, betas=self.betas)
        d_opt = torch.optim.Adam(self.discriminator.parameters(), lr=self.lr, betas=self.betas)
        return g_opt, d_opt


class LitGANRewritten(LitGAN):
    def _step(self, optimizer, loss):
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def training_step(self, batch, batch_idx):
        real = batch[0]
        fake = self.generator(torch.randn(real.shape[0], 8, device=self.device))
        generator, discriminator = self.optimizers()
        d_loss = (F.softplus(-self.discriminator(real)) + F.softplus(self.discriminator(fake.detach()))).mean() / 2
        self._step(discriminator, d_loss)
        self.toggle_optimizer(generator)
        g_loss = F.softplus(-self.discriminator(fake)).mean()
        self._step(generator, g_loss)
        self.untoggle_optimizer(generator)
        self.log("d_loss", d_loss)
        self.log("g_loss", g_loss)


@seeded
def gan(knobs):
    kind = LitGANRewritten if knobs.refactored else LitGAN
    module = kind(hidden(knobs, 64), knobs.dropout, 2e-3 * knobs.lr)
    data = TensorData(digits()[0], batch_size=rows(knobs, 32), drop_last=True)
    return Task(module=module, data=data, trainer=arguments(knobs))


class LitWGAN(LightningModule):
    """Two critic steps for one of the generator, on points, with a gradient penalty (Gulrajani et al. 2017)."""

    def __init__(self, width, lr):
        super().__init__()
        self.automatic_optimization = False
        self.generator = nn.Sequential(nn.Linear(4, width), nn.LeakyReLU(0.2), nn.Linear(width, 2))
        self.critic = nn.Sequential(nn.Linear(2, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))
        self.lr = lr

    def penalty(self, real, fake):
        share = torch.rand(len(real), 1, device=self.device)
        between = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        return (slope.norm(dim=1) - 1).square().mean()

    def training_step(self, batch, batch_idx):
        (real,) = batch
        g_opt, c_opt = self.optimizers()
        for _ in range(2):
            fake = self.generator(torch.randn(len(real), 4, device=self.device)).detach()
            c_loss = self.critic(fake).mean() - self.critic(real).mean() + 10 * self.penalty(real, fake)
            c_opt.zero_grad()
            self.manual_backward(c_loss)
            c_opt.step()
        g_loss = -self.critic(self.generator(torch.randn(len(real), 4, device=self.device))).mean()
        g_opt.zero_grad()
        self.manual_backward(g_loss)
        g_opt.step()
        self.log_dict({"critic": c_loss, "generator": g_loss})

    def configure_optimizers(self):
        return [
            torch.optim.Adam(net.parameters(), lr=self.lr, betas=(0.0, 0.9)) for net in (self.generator, self.critic)
        ]


@seeded
def wgan(knobs):
    module = LitWGAN(hidden(knobs, 32), 1e-3 * knobs.lr)
    return Task(module=module, data=TensorData(moons(), batch_size=rows(knobs, 32)), trainer=arguments(knobs))


DENSE = frozenset({"tabular", "relu", "hidden", "datamodule"})
MANUAL = frozenset({"seed", "width", "lr", "batch"})
PROGRAMS = (
    Program(name="autoencoder", family="autoencoder", build=autoencoder, traits=DENSE | {"autoencoder"}, knobs=EVERY),
    Program(
        name="denoising", family="autoencoder", build=denoising, traits=DENSE | {"autoencoder", "noise"}, knobs=EVERY
    ),
    Program(name="vae", family="vae", build=vae, traits=DENSE | {"autoencoder", "noise"}, knobs=EVERY),
    Program(
        name="diffusion",
        family="diffusion",
        build=diffusion,
        traits=frozenset({"tabular", "hidden", "noise", "datamodule"}),
        knobs=EVERY,
    ),
    Program(
        name="flow",
        family="flow",
        build=flow,
        traits=frozenset({"tabular", "hidden", "unbounded", "datamodule"}),
        knobs=EVERY - {"dropout", "optimizer"},
    ),
    Program(
        name="gan",
        family="gan",
        build=gan,
        traits=DENSE | {"manual", "noise"},
        knobs=MANUAL | {"dropout", "precision", "refactored"},
    ),
    Program(
        name="wgan",
        family="gan",
        build=wgan,
        traits=frozenset({"tabular", "hidden", "manual", "noise", "unbounded", "datamodule"}),
        knobs=MANUAL,
    ),
)
