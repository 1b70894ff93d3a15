import json

import jsonschema
import msgspec
import pytest

from backburn import __version__
from backburn.renderers import sarif
from backburn.report import Finding, Level, Outcome, Report
from tests.renderers.reports import BROKEN, GREEN, HOSTILE, SOUND, WORKFLOW, hostile, many


def closed(required, **properties):
    """An object with these properties and no other, as every object of SARIF's schema is."""
    listed = required.split()
    return {"type": "object", "required": listed, "properties": properties, "additionalProperties": False}


def several(item, **more):
    return {"type": "array", "items": item, **more}


WORDS = {"type": "string", "minLength": 1}
URI = {"type": "string", "pattern": r"^[A-Za-z0-9\-._~!$&'()*+,;=:@%/?#]+$"}  # RFC 3986 has no other characters
TEXT = closed("text", text=WORDS)
LEVEL = {"enum": ["none", "note", "warning", "error"]}
INDEX = {"type": "integer", "minimum": 0}
LINE = {"type": "integer", "minimum": 1}
RULE = closed(
    "id shortDescription fullDescription help",
    id=WORDS,
    shortDescription=TEXT,
    fullDescription=TEXT,
    help=TEXT,
    helpUri=URI,
)
PLACE = closed(
    "artifactLocation region",
    artifactLocation=closed("uri uriBaseId", uri=URI, uriBaseId=WORDS),
    region=closed("startLine", startLine=LINE, startColumn=LINE),
)
RESULT = closed(
    "ruleId ruleIndex level message locations partialFingerprints",
    ruleId=WORDS,
    ruleIndex=INDEX,
    level=LEVEL,
    message=TEXT,
    locations=several(closed("physicalLocation", physicalLocation=PLACE), minItems=1, maxItems=1),
    partialFingerprints={"type": "object", "additionalProperties": WORDS},
)
NOTIFICATION = closed("message", level=LEVEL, message=TEXT, associatedRule=closed("id", id=WORDS, index=INDEX))
RUN = closed(
    "tool results automationDetails",
    tool=closed(
        "driver",
        driver=closed("name", name=WORDS, version=WORDS, informationUri=URI, rules=several(RULE, uniqueItems=True)),
    ),
    automationDetails=closed("id", id={"type": "string", "pattern": "^backburn/.+/$"}),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    invocations=several(
        closed(
            "executionSuccessful",
            executionSuccessful={"type": "boolean"},
            toolExecutionNotifications=several(NOTIFICATION),
        )
    ),
    results=several(RESULT),
)
# What the schema of SARIF 2.1.0 says of the objects that are used here, and on top of it what GitHub asks: one
# location with a file and a line, the descriptions of a rule, a category of its own for each run.
SCHEMA = {**closed("version runs", version={"const": "2.1.0"}, runs=several(RUN))}
SCHEMA["properties"]["$schema"] = URI


def rendered(*reports):
    return json.loads(sarif.render(reports))


def held(log):
    jsonschema.validate(log, SCHEMA)
    ids = [run["automationDetails"]["id"] for run in log["runs"]]
    assert len(ids) == len(set(ids))
    for run in log["runs"]:
        rules = run["tool"]["driver"]["rules"]
        assert all(rules[one["ruleIndex"]]["id"] == one["ruleId"] for one in run["results"])
        prints = [one["partialFingerprints"]["primaryLocationLineHash"] for one in run["results"]]
        assert len(prints) == len(set(prints))


@pytest.mark.parametrize(
    "reports", [[SOUND], [BROKEN], GREEN, WORKFLOW, [many(30)], [], *([hostile(one)] for one in HOSTILE)]
)
def test_the_schema_holds(reports):
    held(rendered(*reports))


@pytest.mark.parametrize(
    ("path", "bad"),
    [
        (("locations",), []),
        (("level",), "notice"),
        (("message", "text"), ""),
        (("ruleIndex",), -1),
        (("locations", 0, "physicalLocation", "region", "startLine"), 0),
        (("locations", 0, "physicalLocation", "artifactLocation", "uri"), "src/a b.py"),
    ],
)
def test_the_schema_is_seen_to_bite(path, bad):
    log = rendered(BROKEN)
    place = log["runs"][0]["results"][0]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = bad
    with pytest.raises(jsonschema.ValidationError):
        held(log)


def test_a_finding_is_a_result_where_it_stands():
    (run,) = rendered(BROKEN)["runs"]
    assert (
        run["automationDetails"]["id"] == "backburn/memorize/"
    )  # GitHub's category is what stands before the last slash
    assert run["tool"]["driver"]["version"] == __version__
    first, second = run["results"]
    assert (first["ruleId"], first["level"], second["level"]) == ("memorize/loss-falls", "error", "warning")
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "src/a%2C%20b%3Ac/m%C3%B6del.py"
    assert place["region"] == {"startLine": 7, "startColumn": 3}
    assert first["message"]["text"].startswith("digits: 50% of <b>")
    assert "\\[link\\](x)" in first["message"]["text"]
    assert first["message"]["text"].endswith("Lower the <lr>, then `backburn memorize`.")
    rule = run["tool"]["driver"]["rules"][first["ruleIndex"]]
    assert rule["shortDescription"]["text"] == "The loss falls."
    assert rule["helpUri"] == "https://github.com/backburn-ci/backburn/blob/main/docs/memorize.md"


@pytest.mark.parametrize(
    ("folder", "file", "expected"),
    [
        ("build/backburn/memorize", "", "pyproject.toml"),
        ("models/my digits/build/backburn/memorize", "", "models/my%20digits/pyproject.toml"),
        ("artifacts/memorize-gpu-0", "", "pyproject.toml"),
        ("build/backburn/memorize", "/elsewhere/lib.py", "pyproject.toml"),
        ("build/backburn/memorize", "a.py", "a.py"),
    ],
)
def test_what_has_no_file_in_the_repository_stands_in_pyproject(folder, file, expected):
    outcome = Outcome(check="memorize/x", claim="c", findings=(Finding(message="m", file=file),))
    report = Report(stage="memorize", question="?", outcomes=(outcome,), folder=folder)
    place = rendered(report)["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]) == (expected, {"startLine": 1})


def test_what_could_not_be_judged_is_no_result():
    (run,) = rendered(BROKEN)["runs"]
    (invocation,) = run["invocations"]
    (told,) = invocation["toolExecutionNotifications"]
    assert not invocation["executionSuccessful"]
    assert (told["associatedRule"]["id"], told["message"]["text"]) == ("memorize/on-gpu", "no GPU was seen")
    assert all(one["ruleId"] != "memorize/on-gpu" for one in run["results"])
    assert rendered(SOUND)["runs"][0]["invocations"][0] == {
        "executionSuccessful": True,
        "toolExecutionNotifications": [],
    }


def test_an_alert_is_the_same_on_another_line_with_other_figures_and_another_in_another_file():
    def prints(*findings):
        outcome = Outcome(check="unit/x", claim="c", findings=findings)
        run = rendered(Report(stage="unit", question="?", outcomes=(outcome,)))["runs"][0]
        return [one["partialFingerprints"]["primaryLocationLineHash"] for one in run["results"]]

    one = Finding(message="loss 0.31 > 0.2", file="a.py", line=3)
    (before,) = prints(one)
    assert prints(msgspec.structs.replace(one, message="loss 0.52 > 0.2", line=40)) == [before]
    assert prints(msgspec.structs.replace(one, file="b.py")) != [before]
    assert prints(one, msgspec.structs.replace(one, level=Level.NOTICE)) == [before, before.replace(":1", ":2")]


def test_two_reports_of_one_stage_are_two_categories():
    legs = [msgspec.structs.replace(SOUND, folder=f"artifacts/memorize-gpu-{leg}") for leg in range(2)]
    ids = [run["automationDetails"]["id"] for run in rendered(*legs, BROKEN)["runs"]]
    assert ids[0] == "backburn/memorize/artifacts/memorize-gpu-0/"
    assert len(set(ids)) == 3
