import pytest
import torch
from torch import nn

from backburn.probes import states, tensors
from backburn.probes.detail import Detail

from . import recorded as r, trainings as t


class Twice(r.Net):
    """Calls one module twice, and gives back a nesting."""

    class Both(nn.Module):
        def forward(self, x):
            return {"mean": x.mean(1), "all": [x, None]}

    def __init__(self):
        super().__init__()
        self.both = self.Both()

    def forward(self, x):
        return self.head(self.encoder(self.encoder[0](x)[:, :8])) + self.both(x)["mean"][:, None]


def test_modules_stand_in_the_order_in_which_they_return(tmp_path):
    r.fitted(tmp_path, module=Twice, detail=[2, 3], until=4)
    found = r.read(tmp_path)
    names = ["encoder.0", "encoder.0#2", "encoder.1", "encoder.2", "encoder.3", "encoder", "head", "both", ""]
    assert [name for name, _ in found[2].forward] == names == [name for name, _ in found[3].forward]
    assert found[1].forward == () and 4 not in found  # which is not on the grid


def test_outputs_are_those_of_the_step(tmp_path):
    outputs = {}

    class Look(t.pl.Callback):
        def on_train_start(self, trainer, module):
            module.head.register_forward_hook(
                lambda one, args, output: outputs.setdefault(len(outputs), output.clone())
            )

    r.fitted(tmp_path, callbacks=[Look()], detail=[2, 2], until=2)
    assert dict(r.read(tmp_path)[2].forward)["head"] == tensors.nested(outputs[1])


def test_before_is_what_the_step_before_left(tmp_path):
    r.fitted(tmp_path, detail=[1, 3], until=3)
    found = r.read(tmp_path)
    assert found[2].before == found[1].parameters | found[1].buffers != found[2].parameters | found[2].buffers
    assert found[3].before == found[2].parameters | found[2].buffers and found[1].before


@pytest.mark.parametrize("clip", [None, 1e-3])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_told_before_and_after_clipping(clip, precision, tmp_path):
    trainer = {"gradient_clip_val": clip, "precision": precision}
    r.fitted(tmp_path, trainer=trainer, detail=[1, 2], until=2)
    one = r.read(tmp_path)[2]
    assert set(one.clipped) == set(one.gradients) == set(one.parameters)
    assert (one.clipped == one.gradients) == (clip is None)


def test_a_script_that_clips_by_hand_is_seen(tmp_path):
    class ByHand(t.Manual):
        def training_step(self, batch, batch_idx):
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(self.loss(*batch))
            self.clip_gradients(optimizer, 1e-3, "norm")
            optimizer.step()

    class InTheHook(r.Net):
        def on_before_optimizer_step(self, optimizer):
            torch.nn.utils.clip_grad_norm_(self.parameters(), 1e-3)

    r.fitted(tmp_path / "step", module=ByHand, detail=[1, 1], until=1)
    r.fitted(tmp_path / "hook", module=InTheHook, detail=[1, 1], until=1)
    by_hand, in_the_hook = r.read(tmp_path / "step")[1], r.read(tmp_path / "hook")[1]
    assert by_hand.clipped == by_hand.gradients  # its optimizer gets what Lightning's hook sees
    assert set(in_the_hook.clipped) == set(in_the_hook.gradients) and in_the_hook.clipped != in_the_hook.gradients


def test_an_optimizer_that_lightning_does_not_wrap_is_seen(tmp_path):
    class Raw(t.Manual):
        def training_step(self, batch, batch_idx):
            optimizer = self.optimizers(use_pl_optimizer=False)
            optimizer.zero_grad()
            self.loss(*batch).backward()
            optimizer.step()

    r.fitted(tmp_path, module=Raw, detail=[1, 1], until=1)
    one = r.read(tmp_path)[1]
    assert one.clipped == one.gradients and len(one.clipped) == 4


def test_of_two_optimizers_each_tells_its_own(tmp_path):
    r.fitted(tmp_path, module=t.Adversarial, detail=[1, 1], until=1)
    one = r.read(tmp_path)[1]
    assert set(one.gradients) == {f"{net}.{name}" for net in ("maker", "judge") for name in ("weight", "bias")}
    assert one.clipped == one.gradients
    assert [name for name, _ in one.forward] == ["maker", "judge", "judge#2", "judge#3"]


def test_nothing_stays_behind():
    from torch.nn.modules import module as hooks

    net = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(net.parameters())
    one = Detail(net, [optimizer, object()], states.names(net))
    net(torch.ones(1, 2))
    one.close()
    net(torch.ones(1, 2))
    assert len(one.forward) == 1 and not hooks._global_forward_hooks and not optimizer._optimizer_step_pre_hooks


def test_modules_of_others_are_left_out():
    net = nn.Linear(2, 2)
    one = Detail(net, [], {})
    nn.MSELoss()(net(torch.ones(1, 2)), torch.ones(1, 2))
    one.close()
    assert [name for name, _ in one.forward] == [""]


def test_a_module_keeps_no_hook_of_its_own():
    """A transformer layer in eval mode would take the slow road, with other roundings."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.rand(2, 3, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        bare = layer(x)
        one = Detail(layer, [], {})
        watched = layer(x)
        one.close()
    assert torch.equal(bare, watched) and [name for name, _ in one.forward] == [""]  # its parts did not run one by one


def test_an_exception_in_the_step_leaves_no_hook(tmp_path):
    from torch.nn.modules import module as hooks

    class Broken(r.Net):
        def training_step(self, batch, batch_idx):
            super().training_step(batch, batch_idx)
            raise KeyError("x")

    with pytest.raises(KeyError):
        r.fitted(tmp_path, module=Broken, detail=[1, 1], operations=1)
    assert not hooks._global_forward_hooks and not hooks._global_forward_pre_hooks
    assert torch.ones(1).add(1).item() == 2 and r.told(tmp_path).ended == "exception"
    assert r.read(tmp_path)[1].forward == () and r.read(tmp_path)[1].batch  # what it began with is there
