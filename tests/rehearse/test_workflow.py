import pytest
import yaml

from backburn.errors import UserError
from backburn.rehearse import workflow


def read(jobs="  one: {runs-on: x, steps: [{run: a}]}", on="on: push"):
    return workflow.read(f"{on}\njobs:\n{jobs}\n", "w.yml", "w")


@pytest.mark.parametrize(
    ("on", "asked", "event"),
    [
        ("on: push", "", "push"),
        ("on: [pull_request, push]", "", "push"),
        ("on: {merge_group: , pull_request: {branches: [main]}}", "", "pull_request"),
        ("on: {schedule: [{cron: '1 2 * * *'}], workflow_dispatch: }", "", "workflow_dispatch"),
        ("on: {schedule: [{cron: '1 2 * * *'}]}", "", "schedule"),
        ("on: [push, pull_request]", "pull_request", "pull_request"),
    ],
)
def test_the_event_is_the_one_asked_for_or_the_likeliest(on, asked, event):
    assert read(on=on).event(asked) == event


def test_an_event_that_it_does_not_listen_to_is_refused_with_those_it_does():
    with pytest.raises(UserError, match="does not run on merge_group(?s:.*)push, schedule"):
        read(on="on: {push: , schedule: [{cron: x}]}").event("merge_group")


@pytest.mark.parametrize("text", ["", "on: push\n", "jobs: {a: {}}\n", "[1]\n", "on: push\njobs: []\n"])
def test_what_is_no_workflow_is_refused(text):
    with pytest.raises(UserError, match="not a workflow"):
        workflow.read(text, "w.yml", "w")


def test_what_is_no_yaml_is_refused():
    with pytest.raises(UserError, match="w.yml: not readable as YAML"):
        workflow.read("on: [push\n", "w.yml", "w")


def test_a_job_as_planned():
    (job,) = read("""
  one:
    name: The one
    needs: [a, b]
    if: ${{ github.ref == 'x' &&
      always() }}
    runs-on: [self-hosted, gpu]
    timeout-minutes: 5
    steps: [{uses: actions/checkout@v7}, {run: x}, {uses: $/actions/unit}]""").jobs
    assert job.name == "The one" and job.needs == ("a", "b") and job.limit == 300
    assert job.condition == "github.ref == 'x' && always()"
    assert job.labels == ("self-hosted", "gpu")
    assert job.uses == ("actions/checkout@v7", "./actions/unit")


@pytest.mark.parametrize(
    ("minutes", "seconds"), [("", 21600), ("timeout-minutes: ${{ vars.X }}", 21600), ("timeout-minutes: 0.5", 30)]
)
def test_a_job_that_names_no_limit_has_githubs(minutes, seconds):
    (job,) = read(f"  one:\n    runs-on: x\n    {minutes}\n").jobs
    assert job.limit == seconds


@pytest.mark.parametrize(
    ("runs_on", "labels"),
    [
        ("ubuntu-24.04", {"ubuntu-24.04"}),
        ("{group: big, labels: [gpu, l4]}", {"gpu", "l4"}),
        ("${{ matrix.os }}", {"one-os", "two-os"}),
        ("""${{ fromJSON(vars.R || '["self-hosted", "a100"]') }}""", {"self-hosted", "a100"}),
    ],
)
def test_every_label_that_a_job_may_ask_for_is_known(runs_on, labels):
    (job,) = read(f"  one:\n    strategy: {{matrix: {{os: [one-os, two-os]}}}}\n    runs-on: {runs_on}\n").jobs
    assert labels <= set(job.labels)


@pytest.mark.parametrize(("job", "asked"), [("runs-on: windows-2025", "windows-2025"), ("container: x", "a container")])
def test_what_cannot_be_had_here_is_known(job, asked):
    (planned,) = read(f"  one: {{{job}}}").jobs
    assert planned.elsewhere == asked


def test_the_self_repository_syntax_becomes_what_act_knows():
    text = "uses: $/actions/a\nuses: '$/b'\nrun: echo $/c uses: x\n"
    assert workflow.local(text) == "uses: ./actions/a\nuses: './b'\nrun: echo $/c uses: x\n"


QUEUE = """\
on: push
concurrency: {AFTER}
jobs:
  queue: # a job of that name, an input of that name and a step that says it stay
    concurrency: {AFTER}
    steps: [{{run: "echo queue: max"}}, {{uses: o/r@v1, with: {{queue: max}}}}]
"""


@pytest.mark.parametrize(
    ("queue", "left"),
    [
        ("{group: g, queue: max}", {"group": "g"}),
        ("{ queue: max , group: g}", {"group": "g"}),
        ('{"queue": "single", group: g, cancel-in-progress: false}', {"group": "g", "cancel-in-progress": "false"}),
        ("\n      group: g\n      queue: max # all of them\n      cancel-in-progress: true", None),
        ("{group: queue}", {"group": "queue"}),
        ("queue", "queue"),
    ],
)
def test_how_many_may_wait_is_not_told_to_act(queue, left):
    text = QUEUE.format(AFTER=queue)
    said = workflow.local(text)
    whole, (job,) = yaml.load(said, yaml.BaseLoader), yaml.load(said, yaml.BaseLoader)["jobs"].values()
    left = left or {"group": "g", "cancel-in-progress": "true"}
    assert whole["concurrency"] == job["concurrency"] == left
    assert job["steps"] == [{"run": "echo queue: max"}, {"uses": "o/r@v1", "with": {"queue": "max"}}]
    assert len(said.splitlines()) == len(text.splitlines())


def test_a_concurrency_that_stands_in_two_places_is_cut_once():
    text = "on: push\nconcurrency: &c {group: g, queue: max}\njobs: {one: {concurrency: *c}}\n"
    assert workflow.local(text) == "on: push\nconcurrency: &c {group: g, }\njobs: {one: {concurrency: *c}}\n"


def test_a_word_that_stands_elsewhere_is_cut_where_it_is_said():
    text = "name: &q max\non: push\nconcurrency: {queue: *q, group: g}\njobs: {}\n"
    assert workflow.local(text) == "name: &q max\non: push\nconcurrency: { group: g}\njobs: {}\n"


def test_what_is_no_yaml_is_left_for_whoever_reads_it():
    assert workflow.local("concurrency: {queue: max\n") == "concurrency: {queue: max\n"


def test_the_self_repository_syntax_needs_a_checkout_under_act():
    with pytest.raises(UserError, match="job one: .*actions/unit comes before a checkout"):
        read("  one: {steps: [{uses: $/actions/unit}, {uses: actions/checkout@v7}]}")


def test_a_workflow_of_another_repository_is_refused():
    with pytest.raises(UserError, match="job one calls o/r/.github/workflows/w.yml@v1"):
        read("  one: {uses: o/r/.github/workflows/w.yml@v1}")


def test_the_actions_inside_an_action_are_found(tmp_path):
    file = tmp_path / "action.yml"
    assert workflow.uses_in(file) == ()
    file.write_text("runs: {using: composite, steps: [{run: a}, {uses: o/r@v1}]}\n")
    assert workflow.uses_in(file) == ("o/r@v1",)
    file.write_text("runs: {using: node24, main: a.js}\n")
    assert workflow.uses_in(file) == ()
