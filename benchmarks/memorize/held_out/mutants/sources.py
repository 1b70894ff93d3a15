"""Defects in the source of one program each, as its author could have made them."""

import torch
import torch.nn.functional as F

from ...task import Mutant
from .graft import Wrapped, collated, graft, only, sampled, with_labels, written


def of(program, name, title, causes, apply, source=""):
    """A mutant of one program."""
    return Mutant(
        name=f"H-{program.replace('_', '-')}-{name}",
        title=title,
        causes=tuple(causes.split()),
        applies=only(program),
        apply=apply,
        source=source,
    )


def module(**methods):
    """Other methods of the LightningModule."""
    return lambda task: written(task.module, **methods)


def part(path, **methods):
    """Other methods of one submodule."""
    return lambda task: written(task.module.get_submodule(path), **methods)


# lit_digits


def argmax_step(self, batch, batch_idx):
    x, y = batch
    predicted = self(x).argmax(dim=1).float().requires_grad_()
    return F.mse_loss(predicted, y.float())


def kept_dimension_step(self, batch, batch_idx):
    x, y = batch
    logits = self(x)
    loss = F.nll_loss(logits, y)
    right = logits.argmax(dim=1, keepdim=True) == y
    self.log_dict({"train_loss": loss, "train_acc": right.float().mean()})
    return loss


def probabilities(self, x):
    return F.softmax(self.model(x), dim=1)


def class_ids_as_numbers(self, batch, batch_idx):
    x, y = batch
    return F.mse_loss(self(x)[:, 0], y.float())


def overwritten_in_a_loop(self, batch, batch_idx):
    x, y = batch
    for prediction, label in zip(self(x), y, strict=True):
        loss = F.nll_loss(prediction, label)
    return loss


# image_classifier


def augment_bytes(self, images):
    return images + 25 * torch.randn_like(images)


def augment_rolled_batch(self, images):
    return torch.roll(images, int(torch.randint(1, 4, ())), dims=0)


def ten_steps(task):
    task.module.hparams.total_steps = 10


# unet


def loss_of_probabilities(self, logits, masks):
    predicted = logits.sigmoid()
    overlap = 2 * (predicted * masks).sum() / (predicted.sum() + masks.sum() + 1)
    return F.binary_cross_entropy_with_logits(predicted, masks) + 1 - overlap


def dice_of_logits(self, logits, masks):
    both = (logits * masks).sum(dim=(1, 2, 3))
    return (1 - (2 * both + 1) / (logits.sum(dim=(1, 2, 3)) + masks.sum(dim=(1, 2, 3)) + 1)).mean()


class FlipsTheImage(Wrapped):
    def __getitem__(self, index):
        sample = self.dataset[index]
        turned = [torch.flip, torch.rot90][index % 2]
        if torch.rand(()) < 0.75:
            sample = sample | {"image": turned(sample["image"], dims=[-2, -1])}
        return sample


def mask_of_bytes(batch):
    return batch | {"mask": 255 * batch["mask"]}


# detector


def label_of_the_first(self, images, targets):
    scores, boxes = self(images)
    labels = targets[0]["label"].expand(len(images))
    truth = torch.stack([target["box"] for target in targets])
    return {"loss_classifier": F.cross_entropy(scores, labels), "loss_box_reg": 10 * F.smooth_l1_loss(boxes, truth)}


def box_without_weight(self, images, targets):
    scores, boxes = self(images)
    labels = torch.stack([target["label"] for target in targets])
    truth = torch.stack([target["box"] for target in targets])
    return {"loss_classifier": F.cross_entropy(scores, labels), "loss_box_reg": 0 * F.smooth_l1_loss(boxes, truth)}


def boxes_in_pixels(batch):
    images, targets = batch
    return images, tuple(target | {"box": 16 * target["box"]} for target in targets)


# transfer, distillation


def optimizer_of_the_backbone(self):
    return torch.optim.Adam(self.feature_extractor.parameters(), lr=self.hparams.lr)


def kl_of_probabilities(self, student_logits, teacher_logits):
    t = self.hparams.temperature
    soft_targets = F.softmax(teacher_logits / t, dim=-1)
    return F.kl_div(F.softmax(student_logits / t, dim=-1), soft_targets, reduction="batchmean") * t**2


def teacher_taught(self, batch, batch_idx):
    x, y = batch
    with torch.no_grad():
        student_logits = self(x)
    teacher_logits = self.teacher(x)
    hard = F.cross_entropy(student_logits, y)
    return (0.5 * self.soft_loss(student_logits, teacher_logits) + 0.5 * hard).requires_grad_()


# char_gpt


def sees_the_next_one(task):
    for block in task.module.gpt.h:
        block.attn.bias.copy_(torch.ones_like(block.attn.bias).tril(diagonal=1))


class Unshifted(Wrapped):
    def __getitem__(self, index):
        inputs, _ = self.dataset[index]
        return inputs, inputs.clone()


def without_positions(self, idx):
    return self.wte(idx)


def transposed(self, idx, targets=None):
    x = self.embed(idx)
    for block in self.h:
        x = block(x)
    logits = self.lm_head(self.ln_f(x))
    if targets is None:
        return logits, None
    return logits, F.cross_entropy(logits.transpose(0, 1).reshape(-1, logits.size(-1)), targets.reshape(-1))


def only_wte(self):
    return torch.optim.AdamW([p for n, p in self.named_parameters() if "wte" in n or "wpe" in n], lr=self.hparams.lr)


# token_tagger


def mask_the_other_way(self, attention_mask):
    return (attention_mask == 1) & (attention_mask.cumsum(1) > 1)


def mask_forgotten(self, attention_mask):
    return None


def first_label_alone(batch):
    labels = torch.full_like(batch["labels"], -100)
    labels[0, 0] = batch["labels"][0, 0]
    return batch | {"labels": labels}


def padding_is_a_class(batch):
    return batch | {"labels": batch["labels"].clamp(min=0)}


def classes_before_tokens(self, logits, labels):
    return F.cross_entropy(logits.transpose(0, 1).reshape(-1, self.num_labels), labels.view(-1))


# speech


def ctc_of_logits(self, logits, labels, input_lengths, label_lengths):
    return self.ctc(logits.transpose(0, 1), labels, input_lengths, label_lengths)


def lengths_of_a_subsampling(self, logits, labels, input_lengths, label_lengths):
    log_probs = F.log_softmax(logits, dim=2).transpose(0, 1)
    return self.ctc(log_probs, labels, input_lengths // 8, label_lengths)


def log_softmax_over_time(self, logits, labels, input_lengths, label_lengths):
    log_probs = F.log_softmax(logits.transpose(0, 1), dim=0)
    return self.ctc(log_probs, labels, input_lengths, label_lengths)


# tab_transformer


def attends_over_the_batch(task):
    task.module.backbone.encoder.layers[0].self_attn.batch_first = False


def numbers_forgotten(self, categorical, continuous):
    embedded = [table(column) for table, column in zip(self.categories, categorical.T, strict=True)]
    return torch.stack([*embedded, torch.zeros_like(embedded[0])], dim=1)


def sigmoid_twice(old, self, row):
    return old(row).sigmoid()


def first_category_for_all(self, categorical, continuous):
    embedded = [table(categorical[:, 0]) for table in self.categories]
    return torch.stack([*embedded, self.numbers(continuous)], dim=1)


# survival


def none_was_seen(batch):
    return with_labels(batch, torch.zeros_like)


def column_of_risks(self, risk, time, event):
    order = time.argsort(descending=True)
    risk, event = risk[order].unsqueeze(1), event[order]
    return -((risk - risk.logcumsumexp(0)) * event).sum() / event.sum().clamp(min=1)


def likelihood_without_minus(old, self, risk, time, event):
    return -old(risk, time, event)


# recommender


def bought_as_negatives(self, item):
    return item


def whoever_it_is(self, user, item):
    return self.item_embedding(item).sum(-1) + self.item_bias(item).squeeze(-1)


def sparse_optimizer(self):
    return torch.optim.Adam(self.user_embedding.parameters(), lr=self.hparams.lr)


# forecaster


def state_goes_on(self, x):
    state = getattr(self, "state", None)
    output, state = self.lstm(x, state if state is not None and state[0].shape[1] == len(x) else None)
    self.state = tuple(s.detach() for s in state)
    return self.linear(self.dropout(output[:, -1]))


def time_as_batch(task):
    task.module.lstm.batch_first = False


def first_output(self, x):
    output, _ = self.lstm(x)
    return self.linear(self.dropout(output[:, 0]))


class EndsInItsTarget(Wrapped):
    def __getitem__(self, index):
        x, y = self.dataset[index]
        return torch.cat([x[len(y) :], y.unsqueeze(-1)]), y


def mean_of_all(self, x):
    output, _ = self.lstm(x)
    return self.linear(output.mean(dim=(0, 1))).expand(len(x), -1)


# node_classifier


def without_links(self, x, adjacency):
    return self.lin(x)


def of_isolated_nodes(data):
    adjacency = data["adjacency"].clone()
    adjacency[3] = 0 * torch.tensor(float("inf"))  # what 0 links times 1 / sqrt(0) is
    return data | {"adjacency": adjacency}


def one_node(data):
    mask = torch.zeros_like(data["train_mask"])
    mask[0] = True
    return data | {"train_mask": mask}


def labels_of_another_order(data):
    order = torch.randperm(len(data["y"]), generator=torch.Generator().manual_seed(1))
    return data | {"y": data["y"][order]}


# vq_vae


def shadowed(self, batch, batch_idx):
    (x,) = batch
    x, vq_loss = self(x)
    return F.mse_loss(x, x.detach()) + vq_loss


def both_commit(self, z):
    flat = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])
    quantized = self.codebook(self.nearest(flat)).detach()
    loss = F.mse_loss(quantized, flat) + self.beta * F.mse_loss(flat, quantized)
    b, d, h, w = z.shape
    return (flat + (quantized - flat).detach()).view(b, h, w, d).permute(0, 3, 1, 2), loss


def one_code(self, flat):
    return torch.cdist(flat, self.codebook.weight).argmin(dim=1) * 0


# clip


def normalised_over_the_batch(self, image, tokens):
    return F.normalize(self.visual(image), dim=0), F.normalize(self.text(tokens), dim=0)


def all_are_the_first(self, image, text):
    logits = self.logit_scale.exp() * image @ text.T
    targets = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


def text_detached(self, image, tokens):
    return F.normalize(self.visual(image), dim=-1), F.normalize(self.text(tokens).detach(), dim=-1)


def inverted_temperature(task):
    task.module.logit_scale.data.fill_(0.07).log_()


# few_shot


def repeated(self, batch, batch_idx):
    images, _ = batch
    support, query = self.split(images)
    targets = torch.arange(self.hparams.ways, device=images.device).repeat(query.shape[1])
    return F.cross_entropy(self.scores(support, query), targets)


def shots_before_ways(self, images):
    features = self(images).view(-1, self.hparams.ways, self.hparams.hidden).transpose(0, 1)
    return features[:, : self.hparams.shots], features[:, self.hparams.shots :]


def mean_of_ways(self, support, query):
    prototypes = support.mean(dim=0).mean(dim=0).expand(self.hparams.ways, -1)
    return -torch.cdist(query.reshape(-1, query.shape[-1]), prototypes).pow(2) / query.shape[-1]


# wgan


def players_swapped(old, self):
    return list(reversed(old()))


def generator_never_steps(self, optimizer, loss):
    optimizer.zero_grad()
    self.manual_backward(loss)
    if optimizer.param_groups[0]["params"][0] is not next(self.generator.parameters()):
        optimizer.step()


def never_zeroed(self, optimizer, loss):
    self.manual_backward(loss)
    optimizer.step()


def zeroed_too_late(self, optimizer, loss):
    self.manual_backward(loss)
    optimizer.zero_grad()
    optimizer.step()


# dqn


def column_of_values(self, batch):
    states, actions, rewards, dones, next_states = batch
    values = self.net(states).gather(1, actions.unsqueeze(-1))
    with torch.no_grad():
        next_values = self.target_net(next_states).max(1)[0]
        next_values[dones] = 0.0
    return F.smooth_l1_loss(values, rewards + self.hparams.gamma * next_values)


def optimizer_of_the_target(self):
    return torch.optim.Adam(self.target_net.parameters(), lr=self.hparams.lr)


def always_the_last(self):
    yield from [self.buffer[-1]] * self.sample_size


def forgets_the_reward(self, batch):
    states, actions, rewards, dones, next_states = batch
    values = self.net(states).gather(1, actions.unsqueeze(-1)).squeeze(-1)
    return F.smooth_l1_loss(values, values.detach() + 0 * rewards)


# ppo


def new_against_new(self, policy, actions, old, advantages):
    new = policy.log_prob(actions).squeeze(-1)
    ratio = (new - new).exp()
    return -torch.min(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()


def column_of_ratios(self, policy, actions, old, advantages):
    ratio = (policy.log_prob(actions) - old).exp()
    return -torch.min(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()


def values_detached(old, self, values, returns):
    return old(values.detach(), returns)


def values_against_column(old, self, values, returns):
    return old(values, returns.unsqueeze(-1))


MUTANTS = (
    of(
        "lit_digits",
        "argmax-in-loss",
        "the loss is taken of argmax(), made to need a gradient",
        "parameters-are-connected gradients-reach loss-fits-targets",
        module(training_step=argmax_step),
        "StackOverflow: argmax is not differentiable",
    ),
    of(
        "lit_digits",
        "keepdim-in-accuracy",
        "the accuracy compares (N, 1) with (N,)",
        "metric-agrees",
        module(training_step=kept_dimension_step),
        "E03; StackOverflow: accuracy is over 100 or at chance",
    ),
    of(
        "lit_digits",
        "nll-of-probabilities",
        "softmax is returned where nll_loss wants log_softmax",
        "loss-takes-log-probabilities loss-above-bound",
        module(forward=probabilities),
        "L08",
    ),
    of(
        "lit_digits",
        "mse-on-class-ids",
        "one output is fitted to the number of the class by MSE",
        "loss-fits-targets loss-takes-logits",
        module(training_step=class_ids_as_numbers),
        "L17",
    ),
    of(
        "lit_digits",
        "overwritten-in-a-loop",
        "the loss of each sample overwrites that of the one before: the last one counts",
        "loss-counts-targets loss-falls metric-agrees",
        module(training_step=overwritten_in_a_loop),
        "forums: loss = instead of loss +=",
    ),
    of(
        "image_classifier",
        "noise-in-bytes",
        "the augmentation adds noise of deviation 25 to values of 1",
        "augmentation-keeps-inputs inputs-are-scaled labels-match-inputs",
        module(augment=augment_bytes),
        "D10",
    ),
    of(
        "image_classifier",
        "rolls-the-batch",
        "the shift rolls axis 0, the batch, so that images get the labels of others",
        "labels-stay-paired labels-match-inputs loss-pairs-outputs",
        module(augment=augment_rolled_batch),
        "wrong dims of torch.roll",
    ),
    of(
        "image_classifier",
        "cosine-of-ten-steps",
        "the cosine's length is given in epochs and counted in steps: after ten the rate is 0",
        "learning-rate-holds parameters-move updates-are-sized",
        ten_steps,
        "O08; forums: CosineAnnealingLR T_max",
    ),
    of(
        "unet",
        "sigmoid-twice",
        "binary_cross_entropy_with_logits gets probabilities",
        "loss-takes-logits",
        module(loss=loss_of_probabilities),
        "M04",
    ),
    of(
        "unet",
        "dice-of-logits",
        "the dice loss gets logits: the ratio has no bounds",
        "loss-above-bound loss-takes-logits loss-falls loss-is-finite",
        module(loss=dice_of_logits),
        "forums: dice loss is negative",
    ),
    of(
        "unet",
        "image-turned-mask-not",
        "the random flip is applied to the image and not to its mask",
        "labels-match-inputs labels-stay-paired augmentation-keeps-inputs",
        lambda task: sampled(task, FlipsTheImage),
        "forums: same random transform for image and mask",
    ),
    of(
        "unet",
        "mask-of-bytes",
        "masks are 0 and 255 instead of 0 and 1",
        "loss-fits-targets loss-above-bound loss-takes-log-probabilities initial-loss",
        lambda task: collated(task, mask_of_bytes),
        "forums: BCE loss is hugely negative",
    ),
    of(
        "detector",
        "label-of-the-first",
        "the label of the first target stands for all",
        "loss-fits-targets loss-pairs-outputs labels-vary",
        module(losses=label_of_the_first),
        "targets[0] from the time of batch size 1",
    ),
    of(
        "detector",
        "box-without-weight",
        "the weight of the box loss is 0",
        "gradients-reach parameters-move parameters-are-connected",
        module(losses=box_without_weight),
        "L16",
    ),
    of(
        "detector",
        "boxes-in-pixels",
        "boxes are in pixels, the head ends with a sigmoid",
        "loss-fits-targets loss-falls initial-loss units-are-not-saturated",
        lambda task: collated(task, boxes_in_pixels),
        "issues of detection models: normalised boxes",
    ),
    of(
        "transfer",
        "optimizer-of-the-backbone",
        "the optimizer gets the frozen backbone instead of the head",
        "parameters-are-optimized parameters-move",
        module(configure_optimizers=optimizer_of_the_backbone),
        "O03",
    ),
    of(
        "teacher_student",
        "kl-of-probabilities",
        "kl_div gets probabilities where it wants their logarithm",
        "loss-takes-log-probabilities loss-above-bound",
        module(soft_loss=kl_of_probabilities),
        "PyTorch docs of KLDivLoss; forums: negative KL",
    ),
    of(
        "teacher_student",
        "no-grad-on-the-student",
        "no_grad is around the student instead of the teacher",
        "parameters-are-connected gradients-reach parameters-move",
        module(training_step=teacher_taught),
        "M19",
    ),
    of(
        "char_gpt",
        "mask-off-by-one",
        "the causal mask is tril(diagonal=1): each token sees the next",
        "future-is-hidden",
        sees_the_next_one,
        "M17; forums: triu and tril off by one",
    ),
    of(
        "char_gpt",
        "not-shifted",
        "the targets are the inputs",
        "targets-are-shifted",
        lambda task: sampled(task, Unshifted),
        "L11",
    ),
    of(
        "char_gpt",
        "no-positions",
        "the embedding of the positions is not added",
        "order-matters parameters-are-connected",
        part("gpt", embed=without_positions),
        "M21",
    ),
    of(
        "char_gpt",
        "transposed",
        "logits are transposed before they are flattened, targets are not",
        "loss-pairs-outputs future-is-hidden samples-are-independent",
        part("gpt", forward=transposed),
        "L12",
    ),
    of(
        "char_gpt",
        "embeddings-optimized",
        "the filter of names leaves only the embeddings to the optimizer",
        "parameters-are-optimized",
        module(configure_optimizers=only_wte),
        "O03",
    ),
    of(
        "token_tagger",
        "mask-inverted",
        "src_key_padding_mask gets the attention mask as it is: the words are hidden, the padding is seen",
        "padding-is-ignored inputs-are-used loss-is-finite",
        part("model", key_padding=mask_the_other_way),
        "M20; Hugging Face and PyTorch mean opposite things",
    ),
    of(
        "token_tagger",
        "mask-forgotten",
        "attention_mask is accepted and not used",
        "padding-is-ignored",
        part("model", key_padding=mask_forgotten),
        "M20",
    ),
    of(
        "token_tagger",
        "one-label-counts",
        "the alignment of labels leaves all but the first at -100",
        "loss-counts-targets",
        lambda task: collated(task, first_label_alone),
        "L10; alignment of labels with word ids",
    ),
    of(
        "token_tagger",
        "padding-is-a-class",
        "labels are padded with 0, the most frequent class, instead of -100",
        "padding-is-ignored loss-counts-targets as-reviewed",
        lambda task: collated(task, padding_is_a_class),
        "forums: padding counts in the loss",
    ),
    of(
        "token_tagger",
        "time-before-batch",
        "logits are transposed to (T, B, C) before they are flattened, labels are not",
        "loss-pairs-outputs samples-are-independent",
        part("model", compute_loss=classes_before_tokens),
        "L12",
    ),
    of(
        "speech",
        "ctc-of-logits",
        "CTCLoss gets logits instead of log-probabilities",
        "loss-takes-log-probabilities loss-above-bound",
        module(criterion=ctc_of_logits),
        "PyTorch issues: CTC loss is negative",
    ),
    of(
        "speech",
        "lengths-too-short",
        "lengths are divided for a subsampling that is not there; zero_infinity hides that no target fits",
        "loss-counts-targets gradients-reach initial-loss parameters-move",
        module(criterion=lengths_of_a_subsampling),
        "PyTorch issues: CTC loss is 0 with zero_infinity",
    ),
    of(
        "speech",
        "softmax-over-time",
        "log_softmax runs over axis 0, the time",
        "loss-takes-log-probabilities initial-loss loss-above-bound",
        module(criterion=log_softmax_over_time),
        "M10; log_softmax before and after the transposition",
    ),
    of(
        "tab_transformer",
        "batch-first-forgotten",
        "batch_first is left out: columns attend over the batch",
        "samples-are-independent",
        attends_over_the_batch,
        "D15; forums: nn.MultiheadAttention is (T, B, C) by default",
    ),
    of(
        "tab_transformer",
        "numbers-forgotten",
        "the continuous columns are never embedded",
        "inputs-are-used parameters-are-connected",
        part("backbone", tokens=numbers_forgotten),
        "M14",
    ),
    of(
        "tab_transformer",
        "sigmoid-twice",
        "the model ends with a sigmoid, the loss is BCEWithLogitsLoss",
        "loss-takes-logits",
        lambda task: graft(task.module, forward=sigmoid_twice),
        "M04",
    ),
    of(
        "tab_transformer",
        "one-column-for-all",
        "each table looks up the first column",
        "inputs-are-used",
        part("backbone", tokens=first_category_for_all),
        "an index lost in a loop",
    ),
    of(
        "survival",
        "none-was-seen",
        "the indicator of events is compared with a string and is 0 everywhere",
        "labels-vary loss-counts-targets gradients-reach parameters-move",
        lambda task: collated(task, none_was_seen),
        "dtype of a column of a file",
    ),
    of(
        "survival",
        "column-of-risks",
        "risks of shape (N, 1) times events of shape (N,)",
        "loss-shapes-agree loss-above-bound loss-pairs-outputs loss-falls",
        module(partial_likelihood=column_of_risks),
        "L06",
    ),
    of(
        "survival",
        "likelihood-without-minus",
        "the likelihood is returned instead of its negative",
        "loss-sign loss-above-bound",
        lambda task: graft(task.module, partial_likelihood=likelihood_without_minus),
        "L01",
    ),
    of(
        "implicit_ratings",
        "bought-as-negatives",
        "the negative item is the one that was bought: both scores are the same",
        "gradients-reach loss-falls parameters-move loss-fits-targets",
        module(negatives=bought_as_negatives),
        "wrong variable in negative sampling",
    ),
    of(
        "implicit_ratings",
        "whoever-it-is",
        "the score leaves the user out",
        "inputs-are-used parameters-are-connected",
        module(forward=whoever_it_is),
        "M12; M14",
    ),
    of(
        "implicit_ratings",
        "optimizer-of-the-users",
        "the optimizer gets the users' embedding alone",
        "parameters-are-optimized",
        module(configure_optimizers=sparse_optimizer),
        "O03",
    ),
    of(
        "forecaster",
        "state-goes-on",
        "the LSTM's state is kept from batch to batch",
        "evaluation-repeats samples-are-independent loss-falls",
        module(forward=state_goes_on),
        "forums: hidden state carried over shuffled batches",
    ),
    of(
        "forecaster",
        "batch-first-forgotten",
        "batch_first is left out: the LSTM runs over the batch",
        "samples-are-independent",
        time_as_batch,
        "D15; forums: LSTM input is (T, B, C) by default",
    ),
    of(
        "forecaster",
        "first-output",
        "the output of the first step is taken for that of the last",
        "inputs-are-used",
        module(forward=first_output),
        "output[:, 0] after a change of axes",
    ),
    of(
        "forecaster",
        "window-ends-in-its-target",
        "the window of the past ends where the target ends",
        "labels-not-in-inputs",
        lambda task: sampled(task, EndsInItsTarget),
        "D09; off by a horizon",
    ),
    of(
        "forecaster",
        "mean-over-the-batch",
        "outputs are averaged over the batch as well as over time",
        "samples-are-independent inputs-are-used loss-falls",
        module(forward=mean_of_all),
        "M09; mean over one axis too many",
    ),
    of(
        "node_classifier",
        "links-forgotten",
        "the layer does not multiply by the adjacency",
        "inputs-are-used",
        lambda task: [written(conv, forward=without_links) for conv in (task.module.conv1, task.module.conv2)] and None,
        "M14",
    ),
    of(
        "node_classifier",
        "isolated-node",
        "a node without links has 0 * inf in the normalised adjacency",
        "batch-is-finite loss-is-finite",
        lambda task: collated(task, of_isolated_nodes),
        "issues of graph libraries: deg ** -0.5 is inf",
    ),
    of(
        "node_classifier",
        "one-node-counts",
        "the mask of the training has one node",
        "loss-counts-targets labels-vary",
        lambda task: collated(task, one_node),
        "L10",
    ),
    of(
        "node_classifier",
        "labels-of-another-order",
        "features and labels of the nodes are read in different orders",
        "labels-match-inputs",
        lambda task: collated(task, labels_of_another_order),
        "D01",
    ),
    of(
        "vq_vae",
        "shadowed-target",
        "x is the reconstruction by the time it is compared with itself",
        "loss-fits-targets gradients-reach parameters-move",
        module(training_step=shadowed),
        "a variable used twice",
    ),
    of(
        "vq_vae",
        "codebook-detached",
        "both terms detach the codebook",
        "parameters-are-connected gradients-reach parameters-move",
        part("quantizer", forward=both_commit),
        "issues of VQ-VAE: stop-gradient on the wrong side",
    ),
    of(
        "vq_vae",
        "one-code",
        "the index of the nearest code is multiplied away: one code for all",
        "inputs-are-used loss-falls",
        part("quantizer", nearest=one_code),
        "M12",
    ),
    of(
        "clip",
        "normalised-over-the-batch",
        "F.normalize runs over axis 0",
        "samples-are-independent",
        module(forward=normalised_over_the_batch),
        "M10",
    ),
    of(
        "clip",
        "all-are-the-first",
        "targets are zeros instead of arange",
        "loss-fits-targets loss-pairs-outputs loss-falls",
        module(contrast=all_are_the_first),
        "MoCo's targets in CLIP's loss",
    ),
    of(
        "clip",
        "text-detached",
        "the text's features are detached",
        "parameters-are-connected",
        module(forward=text_detached),
        "M03",
    ),
    of(
        "clip",
        "temperature-upside-down",
        "logits are multiplied by the temperature of 0.07 instead of divided: they are all about 0",
        "loss-falls loss-scale initial-loss",
        inverted_temperature,
        "temperature multiplied instead of divided",
    ),
    of(
        "few_shot",
        "repeat-for-interleave",
        "targets are repeat() where repeat_interleave() is meant",
        "loss-pairs-outputs loss-falls labels-match-inputs",
        module(training_step=repeated),
        "L12; issues of few-shot code",
    ),
    of(
        "few_shot",
        "shots-before-ways",
        "features are viewed as (shots, ways) though they come class after class",
        "loss-pairs-outputs loss-falls labels-match-inputs",
        module(split=shots_before_ways),
        "D15",
    ),
    of(
        "few_shot",
        "mean-of-ways",
        "prototypes are averaged over the classes too: all are the same",
        "loss-falls inputs-are-used gradients-reach",
        module(scores=mean_of_ways),
        "mean over one axis too many",
    ),
    of(
        "critic",
        "players-swapped",
        "optimizers are unpacked in the wrong order",
        "parameters-move gradients-reach parameters-are-connected gradients-are-fresh",
        lambda task: graft(task.module, configure_optimizers=players_swapped),
        "O17; Lightning forums",
    ),
    of(
        "critic",
        "generator-never-steps",
        "step() of the generator's optimizer is missing",
        "parameters-move",
        module(update=generator_never_steps),
        "O11",
    ),
    of(
        "critic",
        "never-zeroed",
        "zero_grad() is missing in manual optimization",
        "gradients-are-fresh",
        module(update=never_zeroed),
        "O05",
    ),
    of(
        "critic",
        "zeroed-too-late",
        "zero_grad() stands between backward and step",
        "gradients-are-kept parameters-move",
        module(update=zeroed_too_late),
        "O06",
    ),
    of(
        "dqn",
        "column-of-values",
        "values of shape (N, 1) against targets of shape (N,)",
        "loss-shapes-agree",
        module(loss=column_of_values),
        "L06; issues of DQN code",
    ),
    of(
        "dqn",
        "optimizer-of-the-target",
        "the optimizer gets the target net",
        "parameters-are-optimized parameters-move",
        module(configure_optimizers=optimizer_of_the_target),
        "O03",
    ),
    of(
        "dqn",
        "always-the-last",
        "the replay buffer hands out its last entry each time",
        "samples-differ inputs-vary",
        lambda task: written(task.data.dataset, __iter__=always_the_last),
        "D07",
    ),
    of(
        "dqn",
        "target-is-the-value",
        "the target is computed from the values themselves: the loss is 0",
        "loss-fits-targets gradients-reach parameters-move initial-loss",
        module(loss=forgets_the_reward),
        "a variable used twice",
    ),
    of(
        "ppo",
        "new-against-new",
        "the ratio is that of the new policy with itself: always 1, without a gradient",
        "gradients-reach parameters-move",
        module(actor_loss=new_against_new),
        "issues of PPO code: old log-probabilities recomputed",
    ),
    of(
        "ppo",
        "column-of-ratios",
        "log-probabilities of shape (N, 1) minus old ones of shape (N,)",
        "loss-shapes-agree loss-pairs-outputs",
        module(actor_loss=column_of_ratios),
        "L06; issues of PPO code",
    ),
    of(
        "ppo",
        "values-detached",
        "the critic's values are detached in its own loss",
        "parameters-are-connected gradients-reach parameters-move",
        lambda task: graft(task.module, critic_loss=values_detached),
        "M03",
    ),
    of(
        "ppo",
        "values-against-column",
        "values of shape (N,) against returns of shape (N, 1)",
        "loss-shapes-agree",
        lambda task: graft(task.module, critic_loss=values_against_column),
        "L06",
    ),
)
