from dataclasses import replace
from pathlib import Path

import pytest

from backburn.rehearse import event, workflow
from backburn.rehearse.clone import Project

PROJECT = Project(
    folder=Path("x"),
    repository="team/digits",
    branch="topic",
    default="main",
    head="a" * 40,
    base="b" * 40,
    not_pushed=(),
    left_out=(),
)
WORKFLOW = workflow.read(
    "on: {schedule: [{cron: '3 4 * * *'}], workflow_dispatch: {inputs: {depth: {default: '3'}, name: }}}\n"
    "jobs: {a: {steps: []}}\n",
    "w.yml",
    "w",
)


def payload(name, project=PROJECT, fork=False):
    return event.payload(name, project, WORKFLOW, fork=fork)


def test_push_names_the_branch_and_both_commits():
    made = payload("push")
    assert (made["ref"], made["before"], made["after"]) == ("refs/heads/topic", "b" * 40, "a" * 40)
    assert made["repository"]["full_name"] == "team/digits" and made["repository"]["default_branch"] == "main"


@pytest.mark.parametrize(("fork", "owner"), [(False, "team"), (True, "someone-else")])
def test_a_pull_request_comes_from_here_or_from_a_fork(fork, owner):
    made = payload("pull_request", fork=fork)["pull_request"]
    assert made["head"]["repo"]["full_name"] == f"{owner}/digits" and made["head"]["repo"]["fork"] is fork
    assert made["base"]["repo"]["full_name"] == "team/digits" and made["base"]["ref"] == "main"
    assert made["head"]["ref"] == "topic" and made["head"]["sha"] == "a" * 40 and made["base"]["sha"] == "b" * 40


def test_a_pull_request_never_goes_from_a_branch_to_itself():
    assert payload("pull_request", replace(PROJECT, branch="main"))["pull_request"]["head"]["ref"] == "topic"


def test_the_number_is_where_act_reads_the_ref_from():
    assert payload("pull_request")["number"] == payload("pull_request")["pull_request"]["number"] == 1


def test_merge_group_schedule_and_dispatch():
    assert payload("merge_group")["merge_group"]["base_ref"] == "refs/heads/main"
    assert payload("merge_group")["merge_group"]["head_sha"] == "a" * 40
    assert payload("schedule")["schedule"] == "3 4 * * *"
    assert payload("workflow_dispatch")["inputs"] == {"depth": "3", "name": ""}
