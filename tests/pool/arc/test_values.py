"""Every key is the chart's own, and what they make is a pod: by the chart's list and by Kubernetes' own schemas."""

import copy
import json
from pathlib import Path

import kubernetes_validate
import pytest

from backburn.errors import UserError
from backburn.pool.arc import values as arc
from backburn.pool.container import HOOKS
from tests.pool import scene

CHART = json.loads((Path(__file__).parent / "chart.json").read_text())
KUBERNETES = ("1.37", "1.31", "1.25")  # the newest that kubernetes-validate knows, the oldest, one between
DIGEST = "ghcr.io/acme/gpu-runner@sha256:" + "ab" * 32
MIG = "MIG-0e0a9b2{}-0000-5000-8000-000000000001"
APP = """
[github]
url = "https://github.com/acme"
app-id = 123456
private-key = "file:/etc/backburn/app.pem"
proxy = "http://user:canary@proxy.lab:3128"
runner-group = "gpu-trusted"
[pool]
name = "lab1"
image = "{image}"
state = "{state}"
max-job = "2h"
[slots]
gpus = {gpus}
cpu = {cpu}
[limits]
cpus = 2.5
memory = "64g"
[docker]
mounts = ["/srv/data:/data", "/srv/hub:/hub:ro"]
"""


def pool(folder, gpus=(scene.GPU,), cpu=0, image=DIGEST, text=APP, more=""):
    """A configuration; the simplest one by `text=scene.TEXT`."""
    filled = text.replace("{gpus}", json.dumps(list(gpus))).replace("{cpu}", str(cpu)).replace("{image}", image)
    return scene.configuration.load(scene.written(folder, more, text=filled))


def made(config, **said):
    return arc.values(config, arc.offer(config, **said))


def paths(value, above=""):
    """Dotted keys, down to where the chart's own list is free."""
    for key, below in value.items():
        path = f"{above}{key}"
        free = any(path == one.removesuffix(".*") for one in CHART["keys"] if one.endswith(".*"))
        if isinstance(below, dict) and not free:
            yield from paths(below, f"{path}.")
        else:
            yield f"{path}.*" if free else path


def strangers(found):
    """Keys that the chart does not have, or that its template does not read."""
    keys = set(paths(found))
    yield from keys - set(CHART["keys"])
    yield from (key for key in keys if not any(f"{key}.".startswith(f"{one}.") for one in CHART["read"]))


def refusals(found, version=KUBERNETES[0]):
    """What Kubernetes has against the pod that a runner would be."""
    spec = copy.deepcopy(found["template"]["spec"])
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "runner"}, "spec": spec}
    try:
        kubernetes_validate.validate(pod, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return error.message
    return ""


SHAPES = {
    "GPUs, an App, a proxy, mounts": {},
    "MIG": {"gpus": (MIG.format(1), MIG.format(2))},
    "CPU": {"gpus": (), "cpu": 3},
    "the simplest": {"text": scene.TEXT},
    "caches": {"text": scene.TEXT, "more": '[cache]\nroot = "/srv/cache"\n'},
    "root": {"text": scene.TEXT, "more": '[docker]\nuser = "0"\n'},
}


@pytest.fixture(params=SHAPES)
def found(request, tmp_path):
    config = pool(tmp_path, **SHAPES[request.param])
    return made(config, resource="nvidia.com/mig-1g.10gb" if request.param == "MIG" else "")


def test_every_key_is_the_charts(found):
    assert sorted(strangers(found)) == []


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_pod_is_one(found, version):
    assert refusals(found, version) == ""


def test_the_chart_knows_the_labels_since_the_version_that_is_asked_for():
    def number(version):
        return tuple(map(int, version.split(".")))

    assert number(arc.SINCE) <= number(CHART["values"]["version"])


def test_a_wrong_key_is_refused(tmp_path):
    good = made(pool(tmp_path))
    assert sorted(strangers(good | {"maxRunner": 1, "proxy": {"ftp": {"url": ""}}})) == [
        "maxRunner",
        "maxRunner",
        "proxy.ftp.url",
        "proxy.ftp.url",
    ]
    spoiled = copy.deepcopy(good)
    spoiled["template"]["spec"]["containers"][0]["resource"] = {}
    assert "resource" in refusals(spoiled)
    spoiled = copy.deepcopy(good)
    spoiled["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = ["8"]
    assert "8" in refusals(spoiled)
    spoiled = copy.deepcopy(good)
    del spoiled["template"]["spec"]["containers"][0]["name"]
    assert "name" in refusals(spoiled)


def test_what_it_says(tmp_path):
    """All of it, for the richest pool."""
    found = made(pool(tmp_path, gpus=(scene.GPU, scene.GPU.replace("6f1a", "7a1b")), cpu=1))
    (runner,) = found["template"]["spec"].pop("containers")
    shares = {"nvidia.com/gpu": 1, "cpu": "2500m", "memory": "64Gi"}
    assert found == {
        "githubConfigUrl": "https://github.com/acme",
        "scaleSetLabels": ["self-hosted", "linux", "x64", "gpu"],
        "githubConfigSecret": "lab1-github",
        "proxy": {
            way: {"url": "http://proxy.lab:3128", "credentialSecretRef": "lab1-proxy"} for way in ("http", "https")
        },
        "maxRunners": 2,
        "minRunners": 0,
        "runnerGroup": "gpu-trusted",
        "runnerScaleSetName": "lab1",
        "template": {
            "spec": {
                "activeDeadlineSeconds": 7200,
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsUser": 1001,
                    "runAsGroup": 1001,
                    "fsGroup": 1001,
                    "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "volumes": [
                    {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}},
                    {"name": "mount-0", "hostPath": {"path": "/srv/data", "type": "Directory"}},
                    {"name": "mount-1", "hostPath": {"path": "/srv/hub", "type": "Directory"}},
                ],
            }
        },
    }
    assert runner == {
        "name": "runner",  # the controller looks for this name
        "image": DIGEST,
        "command": ["/home/runner/run.sh"],
        "env": [
            {"name": name, "value": value}
            for name, value in {"ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE": "1", **HOOKS}.items()
        ],
        "resources": {"limits": shares, "requests": shares},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "shm", "mountPath": "/dev/shm"},
            {"name": "mount-0", "mountPath": "/data", "readOnly": True},
            {"name": "mount-1", "mountPath": "/hub", "readOnly": True},
        ],
    }


def test_a_pool_without_gpus_asks_for_none(tmp_path):
    found = made(pool(tmp_path, gpus=(), cpu=3))
    assert found["maxRunners"] == 3 and "tolerations" not in found["template"]["spec"]
    assert "nvidia" not in json.dumps(found)


def test_a_mig_instance_is_asked_for_by_its_profile(tmp_path):
    found = made(pool(tmp_path, gpus=(MIG.format(1),)), resource="nvidia.com/mig-1g.10gb")
    limits = found["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/mig-1g.10gb"] == 1 and "nvidia.com/gpu" not in limits


def test_caches_are_where_the_pool_has_them(tmp_path):
    found = made(pool(tmp_path, text=scene.TEXT, more='[cache]\nroot = "/srv/cache"\nnames = ["data", "pip"]\n'))
    spec = found["template"]["spec"]
    assert spec["volumes"][1:] == [
        {"name": "cache-data", "persistentVolumeClaim": {"claimName": "lab1-data", "readOnly": True}},
        {"name": "cache-pip", "emptyDir": {}},
    ]
    assert spec["containers"][0]["volumeMounts"][1:] == [
        {"name": "cache-data", "mountPath": "/cache/data", "readOnly": True},
        {"name": "cache-pip", "mountPath": "/cache/pip"},
    ]
    assert {"name": "PIP_CACHE_DIR", "value": "/cache/pip"} in spec["containers"][0]["env"]
    assert "cache" not in json.dumps(made(pool(tmp_path, text=scene.TEXT)))


def test_no_secret_and_no_password_of_the_proxy_is_in_it(tmp_path):
    assert "canary" not in json.dumps(made(pool(tmp_path)))


def test_the_hook_lets_forks_in_where_the_pool_does(tmp_path):
    def forks(config):
        names = [one["name"] for one in made(config)["template"]["spec"]["containers"][0]["env"]]
        return "BACKBURN_ALLOW_FORKS" in names

    assert not forks(pool(tmp_path, text=scene.TEXT))
    assert forks(pool(tmp_path, text=scene.TEXT.replace("token =", "allow-public = true\ntoken =")))


def test_the_default_group_is_the_charts(tmp_path):
    assert "runnerGroup" not in made(pool(tmp_path, text=scene.TEXT))


REFUSED = {
    "an image's id": ({"image": "sha256:" + "ab" * 32}, {}, "no node can pull", "docker push"),
    "a short id": ({"image": "abcdef012345"}, {}, "no node can pull", "--image"),
    "MIG without its profile": ({"gpus": (MIG.format(1),)}, {}, "by their profile", "--resource nvidia.com/mig-"),
    "two kinds": ({"gpus": (scene.GPU, MIG.format(1))}, {"resource": "nvidia.com/gpu"}, "beside MIG", "a copy of the"),
    "no resource": ({}, {"resource": "gpu"}, "no resource of a node", "nvidia.com/gpu"),
    "a resource without a GPU": ({"gpus": (), "cpu": 1}, {"resource": "nvidia.com/gpu"}, "has no GPU", "Leave it out"),
    "a user by name": ({"text": scene.TEXT, "more": '[docker]\nuser = "runner"\n'}, {}, "no number", "1001:1001"),
    "no mount": ({"text": scene.TEXT, "more": '[docker]\nmounts = ["data"]\n'}, {}, "no mount", "read-only"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_cluster_could_do_is_refused(name, tmp_path):
    shape, said, problem, hint = REFUSED[name]
    with pytest.raises(UserError, match=problem) as raised:
        made(pool(tmp_path, **shape), **said)
    assert hint in raised.value.hint and raised.value.where


def test_an_image_that_nodes_can_pull_stands_in_for_an_id(tmp_path):
    config = pool(tmp_path, image="sha256:" + "ab" * 32)
    assert made(config, image=DIGEST)["template"]["spec"]["containers"][0]["image"] == DIGEST
