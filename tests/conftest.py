"""What several tests need: projects baked from the template by the real cookiecutter."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
NOBODY = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com", "-c", "commit.gpgsign=false")


def commit(folder):
    """Make `folder` a git repository with one commit of all that is not ignored."""
    for words in (["init", "-q", "-b", "main"], ["add", "."], [*NOBODY, "commit", "-q", "-m", "Begin"]):
        subprocess.run(["git", *words], cwd=folder, check=True)


@pytest.fixture(scope="session", autouse=True)
def git_identity(tmp_path_factory):
    """A machine of CI may have no git identity, and a person's own settings are nobody's business here.

    An empty file and not /dev/null: as root, one `git config --global` would put a plain file in its place.
    """
    settings = tmp_path_factory.mktemp("git") / "config"
    settings.touch()
    os.environ |= {"GIT_CONFIG_GLOBAL": str(settings), "GIT_CONFIG_NOSYSTEM": "1"}
    for who in ("AUTHOR", "COMMITTER"):
        os.environ |= {f"GIT_{who}_NAME": "nobody", f"GIT_{who}_EMAIL": "nobody@example.com"}


@pytest.fixture(scope="session", autouse=True)
def hook_environments():
    """pre-commit's environments outlive a test session: 25 s the first time, 1 s from then on."""
    os.environ.setdefault("PRE_COMMIT_HOME", str(REPOSITORY / "build" / "cache" / "pre-commit"))


@pytest.fixture(scope="session", autouse=True)
def always_trained():
    """No test gets what another trained; those of reuse itself take this away."""
    os.environ["BACKBURN_FORCE"] = "1"


@pytest.fixture(scope="session")
def bake(tmp_path_factory):
    """`bake(project_name="…") -> folder`, from the template as it lies here; `template=` names another checkout."""
    from cookiecutter.main import cookiecutter

    settings = tmp_path_factory.mktemp("cookiecutter")
    (settings / "config.yaml").write_text(f"cookiecutters_dir: {settings}/clones\nreplay_dir: {settings}/replay\n")

    def bake(template=REPOSITORY, **answers):
        baked = cookiecutter(
            str(template),
            directory="templates/project",
            no_input=True,
            extra_context=answers,
            output_dir=str(tmp_path_factory.mktemp("bake")),
            config_file=str(settings / "config.yaml"),
        )
        return Path(baked)

    return bake


@pytest.fixture(scope="session")
def baked(bake):
    """The template's defaults as a git repository with one commit. Shared: copy it before you change it."""
    folder = bake()
    commit(folder)
    return folder


@pytest.fixture
def own_bake(baked, tmp_path):
    """A copy of `baked` to do anything with."""
    return Path(shutil.copytree(baked, tmp_path / baked.name, symlinks=True))
