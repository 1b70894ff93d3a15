"""How a GPU is handed out and read back, on what an engine says; tests/pool/test_docker.py asks a real one."""

import pytest

from backburn.pool.config import Injection
from backburn.pool.engine import Declined
from backburn.pool.injection import chosen, device_nodes, devices, environment, given

GPU = "GPU-5a1cf9a2-0000-4000-8000-000000000001"
NODES = {"/dev/nvidia0": "/dev/nvidia0", "/dev/nvidiactl": "/dev/nvidiactl"}


def nodes(device):
    assert device == GPU
    return NODES


@pytest.mark.parametrize(
    ("wanted", "device", "info", "way"),
    [
        ("auto", GPU, {}, "nvidia"),  # Engine 20.10 to 24
        ("auto", GPU, {"CDISpecDirs": ["/no/such/folder"]}, "nvidia"),
        ("auto", GPU, {"CDISpecDirs": ["SPECS"]}, "cdi"),  # 25 to 28.1
        ("auto", "GPU-other", {"CDISpecDirs": ["SPECS"]}, "nvidia"),
        ("auto", GPU, {"DiscoveredDevices": [{"Source": "cdi", "ID": f"nvidia.com/gpu={GPU}"}]}, "cdi"),  # from 28.2 on
        ("auto", GPU, {"CDISpecDirs": ["SPECS"], "DiscoveredDevices": [{"ID": "nvidia.com/gpu=0"}]}, "nvidia"),
        ("auto", "", {"CDISpecDirs": ["SPECS"]}, "none"),  # a CPU slot
        ("nvidia", "", {}, "none"),
        ("nvidia", GPU, {"CDISpecDirs": ["SPECS"]}, "nvidia"),
        ("devices", GPU, {}, "devices"),
        ("cdi", GPU, {}, "cdi"),
    ],
)
def test_auto_is_what_the_engine_knows(tmp_path, wanted, device, info, way):
    (tmp_path / "nvidia.yaml").write_text(f"kind: nvidia.com/gpu\ndevices:\n- name: {GPU}\n")
    info = {key: [str(tmp_path) if one == "SPECS" else one for one in value] for key, value in info.items()}
    assert chosen(Injection(wanted), device, lambda: info) is Injection(way)


def test_each_way_names_the_gpu_by_its_uuid():
    assert given(Injection.CDI, GPU, nodes) == {
        "DeviceRequests": [{"Driver": "cdi", "DeviceIDs": [f"nvidia.com/gpu={GPU}"]}]
    }
    assert given(Injection.NVIDIA, GPU, nodes)["DeviceRequests"][0]["DeviceIDs"] == [GPU]
    assert [one["PathOnHost"] for one in given(Injection.DEVICES, GPU, nodes)["Devices"]] == list(NODES)
    assert given(Injection.NONE, "", nodes) == {}


def test_an_images_own_all_is_always_overruled():
    assert environment(Injection.NVIDIA, GPU) == f"NVIDIA_VISIBLE_DEVICES={GPU}"
    for way in (Injection.NONE, Injection.CDI, Injection.DEVICES):
        assert environment(way, GPU) == "NVIDIA_VISIBLE_DEVICES=void"


def listed(paths):
    return [{"PathOnHost": host, "PathInContainer": inside} for host, inside in paths.items()]


@pytest.mark.parametrize(
    ("host", "env", "found"),
    [
        ({}, [], ()),
        (given(Injection.CDI, GPU, nodes), [], (GPU,)),
        (given(Injection.NVIDIA, GPU, nodes), [], (GPU,)),
        (given(Injection.DEVICES, GPU, nodes), [], (GPU,)),
        ({"DeviceRequests": [{"Count": -1}]}, [], ("all",)),
        ({"DeviceRequests": [{"Count": 2}]}, [], ("count:2",)),
        ({"DeviceRequests": [{"DeviceIDs": ["0"]}]}, [], ("0",)),
        ({"DeviceRequests": [{"DeviceIDs": [GPU, "GPU-b"]}]}, [], (GPU, "GPU-b")),
        ({"Devices": listed({"/dev/nvidia0": "/dev/nvidia0"})}, [], ("/dev/nvidia0",)),
        (
            {"Devices": listed(NODES | {"/dev/nvidia1": "/dev/nvidia1"})},
            [],
            ("/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl"),
        ),
        (
            {"Devices": listed(NODES | {"/dev/nvidia1": "/dev/nvidia0"})},
            [],
            ("/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl"),
        ),
        ({"Privileged": True}, [], ("all",)),
        # NVIDIA's runtime as the default one obeys the environment of the image.
        ({"Runtime": "nvidia"}, ["NVIDIA_VISIBLE_DEVICES=all"], ("all",)),
        ({"Runtime": "nvidia"}, ["NVIDIA_VISIBLE_DEVICES=void"], ()),
        ({"Runtime": "nvidia"}, ["NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_VISIBLE_DEVICES=void"], ()),
        ({"Runtime": "nvidia"} | given(Injection.NVIDIA, GPU, nodes), [f"NVIDIA_VISIBLE_DEVICES={GPU}"], (GPU,)),
        ({"Runtime": "runc"}, ["NVIDIA_VISIBLE_DEVICES=all"], ()),
    ],
)
def test_what_was_given_is_read_back(host, env, found):
    assert devices({"HostConfig": host, "Config": {"Env": env}}, GPU, nodes) == found


def test_nodes_that_are_no_longer_known_are_paths():
    def lost(_):
        raise Declined("gone")

    assert devices({"HostConfig": {"Devices": listed(NODES)}}, GPU, lost) == tuple(sorted(NODES))


@pytest.fixture
def driver(tmp_path):
    """What a driver of two GPUs has in /proc and in /dev."""
    for place, (bus, uuid, minor) in enumerate((("01", GPU, 1), ("41", f"{GPU}0", 0))):
        folder = tmp_path / "gpus" / f"0000:{bus}:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t NVIDIA X\nGPU UUID: \t {uuid}\nDevice Minor: \t {minor}\n")
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / f"nvidia{place}").touch()
    for name in ("nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    return tmp_path / "gpus", tmp_path / "dev"


def test_the_drivers_list_names_the_nodes(driver):
    gpus, dev = driver
    assert device_nodes(GPU, gpus, dev) == {
        f"{dev}/nvidia1": "/dev/nvidia1",
        f"{dev}/nvidiactl": "/dev/nvidiactl",
        f"{dev}/nvidia-uvm": "/dev/nvidia-uvm",
    }


def test_a_gpu_that_the_driver_lacks_is_declined(driver):
    for device, hint in (("GPU-lost", "nvidia-smi"), (GPU[:-1], "nvidia-smi"), (f"MIG-{GPU}", '"cdi"')):
        with pytest.raises(Declined) as caught:
            device_nodes(device, *driver)
        assert hint in caught.value.hint
