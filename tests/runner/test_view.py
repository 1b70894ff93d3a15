"""Is the GPU to be seen from inside? By nvidia-smi where there is one, else by the nodes themselves."""

import pytest

from .scratch import GPU

VIEW = "/opt/backburn/view.sh"
LISTED = f'echo "GPU 0: NVIDIA A100-SXM4-40GB (UUID: {GPU})"'
MIG = "MIG-c7384736-a75d-5afc-978f-d2f1294409fd"


@pytest.mark.parametrize(
    ("device", "smi", "nodes", "code", "said"),
    [
        ("", "", {}, 0, ""),  # a CPU slot
        ("", "exit 9", {}, 0, ""),
        (GPU, LISTED, {}, 0, ""),
        (MIG, f'{LISTED}; echo "  MIG 1g.5gb      Device  0: (UUID: {MIG})"', {}, 0, ""),
        (MIG, LISTED, {}, 1, f"does not list {MIG}: GPU 0"),
        (GPU, LISTED + "; exit 14", {}, 0, ""),  # a corrupt InfoROM is a warning, and the gate's to judge
        (GPU, LISTED.replace("1)", "2)"), {"nvidia0": 0o666}, 1, f"does not list {GPU}: GPU 0"),
        (GPU, LISTED.replace("1)", "11)"), {}, 1, "does not list"),  # a longer one that begins alike
        (GPU, "echo 'Failed to initialize NVML: Unknown Error'; exit 255", {}, 1, "ended with 255 and does not list"),
        (GPU, "printf 'a\\033[31m\\n::error::b'; exit 1", {}, 1, "a [31m ::error::b"),  # one line
        (GPU, "printf 'x%.0s' {1..9999}", {}, 1, "does not list"),
        (GPU, "", {"nvidia0": 0o666}, 0, ""),
        (GPU, "", {"nvidia7": 0o666, "nvidia11": 0o666}, 0, ""),
        (GPU, "", {"nvidia0": 0o666, "nvidia1": 0o400}, 1, "/dev/nvidia1 cannot be opened"),
        (GPU, "", {"nvidiactl": 0o666, "nvidia-uvm": 0o666}, 1, "no device node of a GPU, and no nvidia-smi"),
        (GPU, "", {}, 1, "no device node"),
    ],
)
def test_what_is_seen(scratch, device, smi, nodes, code, said):
    if smi:
        scratch.smi(smi)
    for name, mode in nodes.items():
        scratch.node(name, mode)
    ended, told = scratch.run(VIEW, BACKBURN_DEVICE=device)
    assert ended == code and said in told and told.count("\n") == code and len(told) < 400
