"""The actions: those of the stages of one shape, and a runner's rules that only break in production."""

import json
import re

import pytest
import yaml

from backburn import catalog, cli
from backburn.history import culprits
from backburn.history.publish import TOKEN
from backburn.rehearse.served import NO_STAGE
from backburn.reproduction import culprit
from tests.conftest import REPOSITORY

FILES = {path.parent.name: path for path in sorted((REPOSITORY / "actions").glob("*/action.yml"))}
ACTIONS = {name: path for name, path in FILES.items() if name not in NO_STAGE}
UPLOAD = "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a"
OWN_INPUTS = {
    "unit": {"select"},
    "memorize": {"require-gpu", "force"},
    "reproduce": {"require-gpu", "force"},
    "profile": {"require-gpu", "force"},
}
SECRET = {TOKEN}  # of publish, which has no option for it: a command line is seen by everybody on the machine
EVERY_OUTPUT = {"verdict", "report"}


@pytest.fixture(params=ACTIONS)
def stage(request):
    return request.param


@pytest.fixture
def action(stage):
    return yaml.safe_load(ACTIONS[stage].read_text())


def test_one_action_for_each_stage_and_those_that_are_none():
    assert set(ACTIONS) == set(catalog.STAGES)
    assert set(FILES) - set(ACTIONS) == set(NO_STAGE)


def alike(stage):
    """The action without its own inputs and outputs, its word replaced."""
    action = yaml.safe_load(ACTIONS[stage].read_text())
    action["description"] = ""
    for name in OWN_INPUTS.get(stage, ()):
        del action["inputs"][name]
        del action["runs"]["steps"][0]["env"][f"BACKBURN_{name.upper().replace('-', '_')}"]
    action["outputs"] = {name: action["outputs"][name] for name in EVERY_OUTPUT}
    return json.loads(re.sub(rf"\b{stage}\b", "STAGE", json.dumps(action)))


def test_they_are_alike_but_for_their_word():
    first, *others = map(alike, ACTIONS)
    assert others and all(other == first for other in others)
    assert "STAGE" in json.dumps(first)


def test_one_command_with_nothing_templated(action, stage):
    run, upload = action["runs"]["steps"]
    assert run["run"] == f'exec python3 "$GITHUB_ACTION_PATH/../bootstrap.py" {stage}'
    assert (run["shell"], run["id"]) == ("bash", "stage")
    assert upload["uses"] == UPLOAD and upload["if"] == "${{ always() && steps.stage.outputs.folder != '' }}"
    assert set(action) == {"name", "description", "inputs", "outputs", "runs"}
    assert action["description"] == (catalog.STAGES[stage].__doc__ or "").partition("\n")[0]


@pytest.mark.parametrize("name", FILES)
def test_every_input_has_a_default_and_arrives(name):
    """The variable of each input is one that the verb reads; a composite step gets no INPUT_*."""
    action = yaml.safe_load(FILES[name].read_text())
    env = action["runs"]["steps"][0]["env"]
    read = {param.envvar for param in cli.cli.commands[name].params} | SECRET
    for option, declared in action["inputs"].items():
        assert isinstance(declared["default"], str) and declared["description"]
        assert "required" not in declared  # a runner does not enforce it
        if option != "artifact-name":
            variable = f"BACKBURN_{option.upper().replace('-', '_')}"
            assert env.pop(variable) == f"${{{{ inputs.{option} }}}}" and variable in read
    assert not env


def test_what_may_write_is_one_command_and_nothing_else():
    """No upload, no checkout, no action of others: its token sees the toolkit alone."""
    action = yaml.safe_load(FILES["publish"].read_text())
    (step,) = action["runs"]["steps"]
    assert step["run"] == 'exec python3 "$GITHUB_ACTION_PATH/../bootstrap.py" publish' and step["shell"] == "bash"
    for name, declared in action["outputs"].items():
        assert declared["value"] == f"${{{{ steps.{step['id']}.outputs.{name} }}}}" and declared["description"]


def test_what_blames_is_one_command_and_the_upload_of_what_it_found():
    action = yaml.safe_load(FILES["blame"].read_text())
    run, upload = action["runs"]["steps"]
    assert run["run"] == 'exec python3 "$GITHUB_ACTION_PATH/../bootstrap.py" blame' and run["shell"] == "bash"
    assert upload["uses"] == UPLOAD and upload["if"] == "${{ always() && steps.blame.outputs.folder != '' }}"
    assert upload["with"]["path"] == f"${{{{ steps.blame.outputs.folder }}}}/*/{culprit.FILE}"
    assert upload["with"]["name"] == "${{ inputs.artifact-name }}"
    assert action["inputs"]["artifact-name"]["default"].partition("-")[0] == culprits.NAME  # as publish looks for it
    assert action["description"] == cli.cli.commands["blame"].help.partition("\n")[0]
    for name, declared in action["outputs"].items():
        assert declared["value"] == f"${{{{ steps.blame.outputs.{name} }}}}" and declared["description"]


def test_what_makes_a_page_is_one_command_and_the_upload_of_that_page():
    action = yaml.safe_load(FILES["report"].read_text())
    run, upload = action["runs"]["steps"]
    assert run["run"] == 'exec python3 "$GITHUB_ACTION_PATH/../bootstrap.py" report' and run["shell"] == "bash"
    assert upload["uses"] == UPLOAD and upload["if"] == "${{ always() && steps.report.outputs.report != '' }}"
    assert upload["with"]["path"] == "${{ steps.report.outputs.report }}"
    assert action["description"] == cli.cli.commands["report"].help.partition("\n")[0]
    assert set(action["outputs"]) == EVERY_OUTPUT
    for name, declared in action["outputs"].items():
        assert declared["value"] == f"${{{{ steps.report.outputs.{name} }}}}" and declared["description"]


def test_a_default_artifact_name_is_one_of_its_kind_in_a_run(action, stage):
    default = action["inputs"]["artifact-name"]["default"]
    assert stage in default and "github.job" in default and "strategy.job-index" in default


def test_every_output_is_the_stage_steps(action):
    for name, declared in action["outputs"].items():
        assert declared["value"] == f"${{{{ steps.stage.outputs.{name} }}}}" and declared["description"]
    assert EVERY_OUTPUT < set(action["outputs"])


def test_every_figure_that_is_promised_is_measured(action, stage):
    """The CLI writes each figure under its name; an output that no figure feeds would be empty for ever."""
    page = (REPOSITORY / f"src/backburn/stages/{stage}.py").read_text()
    measured = {name.replace(" ", "-") for name in re.findall(r'Figure\(\s*name="([^"]+)"', page)}
    assert set(action["outputs"]) - EVERY_OUTPUT <= measured


@pytest.mark.parametrize("name", FILES)
def test_the_readme_shows_an_existing_repository_first(name):
    readme = (FILES[name].parent / "README.md").read_text()
    example, table = readme.index("```yaml"), readme.index("| input |")
    assert example < table and f"actions/{name}@<commit>" in readme[example:table]
    for block in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL):
        assert yaml.safe_load(block)["permissions"] == {}
    pins = set(re.findall(r"uses: (actions/\S+@\S+ # v\S+)", readme))
    ours = "".join(path.read_text() for path in (REPOSITORY / ".github/workflows").glob("*.yml"))
    assert pins and all(pin in ours for pin in pins)
