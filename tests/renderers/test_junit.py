import math
import re
import xml.etree.ElementTree as ET

import msgspec
import pytest

from backburn import junit as reader
from backburn.renderers import junit
from backburn.report import Figure, Finding, Outcome, Report
from tests.renderers.reports import BROKEN, GREEN, HOSTILE, ODD, SOUND, WORKFLOW, hostile, many

# junit-10.xsd of Jenkins' xunit plugin: per element the attributes (! is required) and the elements inside.
XSD = {
    "testsuites": ("name time tests failures errors", "testsuite"),
    "testsuite": (
        "name! tests! failures! errors! group time skipped timestamp hostname id package file log url",
        "testsuite properties testcase system-out system-err",
    ),
    "properties": ("", "property"),
    "property": ("name! value!", ""),
    "testcase": ("name! time classname group", "skipped error failure system-out system-err"),
    "failure": ("type message", ""),
    "error": ("type message", ""),
    "skipped": ("type message", ""),
    "system-out": ("", ""),
}
TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")  # its SUREFIRE_TIME


def breaches(element):
    """What of an element and all in it Jenkins' schema forbids, or its counts do not add up to."""
    attributes, inside = XSD.get(element.tag, ("", ""))
    known = attributes.replace("!", "").split()
    if element.tag not in XSD:
        yield f"no element is called {element.tag}"
    yield from (f"{element.tag} {name}" for name in element.keys() if name not in known)
    yield from (
        f"{element.tag} lacks {one}" for one in attributes.split() if one[-1] == "!" and one[:-1] not in element.keys()
    )
    if element.tag in ("testsuite", "testsuites") and not TIME.fullmatch(element.get("time", "")):
        yield f"time {element.get('time')}"
    for child in element:
        if child.tag not in inside.split():
            yield f"{child.tag} in {element.tag}"
        yield from breaches(child)
    if element.tag == "testsuite":
        cases = element.findall("testcase")
        counts = {"tests": len(cases)} | {
            f"{tag}s".replace("skippeds", "skipped"): sum(case.find(tag) is not None for case in cases)
            for tag in ("failure", "error", "skipped")
        }
        yield from (f"{name} is {count}" for name, count in counts.items() if element.get(name) != str(count))


def parsed(*reports):
    return ET.fromstring(junit.render(reports))


@pytest.mark.parametrize(
    "reports", [[SOUND], [BROKEN], GREEN, WORKFLOW, [many(3)], [], *([hostile(one)] for one in HOSTILE)]
)
def test_jenkins_schema_holds(reports):
    root = parsed(*reports)
    assert list(breaches(root)) == []
    assert [one.get("name") for one in root] == [report.stage for report in reports]


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("<testcase", "<testcase file='a.py'", "testcase file"),
        ("<failure", "<flaky/><failure", "flaky in testcase"),
        (' skipped="1"', ' skipped="2"', "skipped is 1"),
        (' failures="1"', "", "testsuite lacks failures!"),
        ('time="0.000"', 'time="1e-05"', "time 1e-05"),
    ],
)
def test_that_schema_is_seen_to_bite(was, now, said):
    text = junit.render([BROKEN])
    assert was in text
    assert said in list(breaches(ET.fromstring(text.replace(was, now))))


def test_each_verdict_is_its_element_and_each_error_a_failure():
    cases = {case.get("name"): case for case in parsed(BROKEN).iter("testcase")}
    assert {name: [one.tag for one in case] for name, case in cases.items()} == {
        "batch-is-fixed [digits]": [],
        "loss-falls [digits]": ["failure", "system-out"],
        "gradients-reach": ["skipped"],
        "on-gpu": ["error"],
    }
    failure = cases["loss-falls [digits]"].find("failure")
    assert failure.get("message") == ODD
    assert failure.text.startswith("src/a, b:c/mödel.py:7:3: 50% of <b>")
    assert "→ Lower the <lr>, then `backburn memorize`." in failure.text
    assert failure.text.endswith("::error::from the training\n</details>")
    assert cases["loss-falls [digits]"].find("system-out").text == "warning: slow"
    assert cases["on-gpu"].find("error").get("message") == "no GPU was seen"
    assert cases["gradients-reach"].find("skipped").get("message") == "after loss-falls"


def test_figures_are_properties_with_all_their_digits():
    figures = (Figure(name="step time", value=0.1 + 0.2, unit="ms", training="a"), Figure(name="loss", value=math.nan))
    report = msgspec.structs.replace(SOUND, figures=figures)
    found = {one.get("name"): one.get("value") for one in parsed(report).iter("property")}
    assert (found["step time [a]"], found["loss"]) == ("0.30000000000000004 ms", "nan")
    assert (found["commit"], found["verdict"]) == ("0123456789abcdef", "pass")
    assert "interrupted" not in found


def test_our_own_reader_reads_it_back(tmp_path):
    file = tmp_path / "junit.xml"
    file.write_text(junit.render([BROKEN, SOUND]), encoding="utf-8")
    found = {test.id: test for test in reader.read(file, tmp_path)}
    assert {name: test.outcome for name, test in found.items()} == {
        "memorize::batch-is-fixed [digits]": "passed",
        "memorize::loss-falls [digits]": "failed",
        "memorize::gradients-reach": "skipped",
        "memorize::on-gpu": "failed",
    }
    assert ODD.partition("\n")[0] in found["memorize::loss-falls [digits]"].message


def test_what_xml_cannot_hold_is_replaced_and_everything_else_comes_back():
    text = "NUL \x00 ESC \x1b \ufffe tab \t line \n nbsp \xa0 ]]> 🔥"
    outcome = Outcome(check="unit/x", claim="c", findings=(Finding(message=text),))
    (failure,) = parsed(Report(stage="unit", question="?", outcomes=(outcome,))).iter("failure")
    assert failure.get("message") == failure.text == "NUL \ufffd ESC \ufffd \ufffd tab \t line \n nbsp \xa0 ]]> 🔥"
