"""The values as a file that can be read: how to use it, what it lacks, then YAML."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator

from ...received import line
from ..config import Config
from .losses import losses
from .values import SINCE, Offer, proxy_secret, secret, values

CHARTS = "oci://ghcr.io/actions/actions-runner-controller-charts"
_NAMESPACE = "--namespace arc-runners"
_WIDTH = 116  # of a comment, without its sign


def render(config: Config, what: Offer) -> str:
    """The whole file. Raises UserError for what no pod can be made of."""
    import yaml

    body = values(config, what)
    lost = [one for said in losses(config, what) for one in _wrapped(said)]
    head = [
        f"Values for the Helm chart gha-runner-scale-set, {SINCE} or later, by `backburn pool export-arc`.",
        "",
        *_steps(config),
        "",
        "What this pool does, and a scale set does not, or otherwise:",
        *lost,
    ]
    comments = "".join(f"# {one}".rstrip() + "\n" for one in head)
    return f"{comments}\n{yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=_WIDTH)}"


def _wrapped(said: str) -> list[str]:
    return textwrap.wrap(
        line(said, 600),
        _WIDTH,
        initial_indent="- ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _steps(config: Config) -> Iterator[str]:
    yield "1. The controller, once in a cluster; the GPUs by NVIDIA's device plugin or GPU operator."
    yield f"   helm install arc --namespace arc-systems --create-namespace {CHARTS}/gha-runner-scale-set-controller"
    yield "2. The namespace, and in it the secret: an App's key or a token, which is in no values."
    yield "   kubectl create namespace arc-runners"
    yield from (f"   {one}" for one in _secrets(config))
    yield "3. This file, under any name. `runs-on` may say the scale set's name, or labels."
    yield f"   helm install {config.pool.name} {_NAMESPACE} --values FILE {CHARTS}/gha-runner-scale-set"
    yield "   Where nodes must sign in to pull the image, add template.spec.imagePullSecrets."
    yield "   Labels are read when the set is made: after a change uninstall it, and install it again"
    yield "   (actions-runner-controller#4424). GitHub Enterprise Server before 3.21 knows the name alone unless told"
    yield "   otherwise, and reports differ (#4425, #4579): try a job before you move all."


def _secrets(config: Config) -> Iterator[str]:
    """Commands that put no secret on a command line."""
    github = config.github
    create = f"kubectl create secret generic {secret(config)} {_NAMESPACE}"
    if github.private_key:
        yield f"{create} \\"
        yield f"  --from-literal=github_app_id={shlex.quote(line(str(github.app_id)))} \\"
        yield f"  --from-literal=github_app_installation_id={github.installation_id or 'ID'} \\"
        yield f"  --from-file=github_app_private_key={_file(github.private_key)}"
        if not github.installation_id:
            yield "ID is the number that ends the address of the App's page among your installed Apps."
    else:  # without the newline that ends a file: it would be sent along
        yield f"tr -d '\\n' < {_file(github.token)} | {create} \\"
        yield "  --from-file=github_token=/dev/stdin"
    if proxy_secret(config):
        yield f"kubectl create secret generic {proxy_secret(config)} {_NAMESPACE} \\"
        yield "  --from-file=username=FILE --from-file=password=FILE"


def _file(where: str) -> str:
    """Where a secret lies: in a file, or with systemd or in a variable, and then nobody but you has it."""
    kind, _, name = where.partition(":")
    return shlex.quote(line(name)) if kind == "file" else "FILE"
