"""The page in a real browser: what a reader sees, with a mouse, a keyboard or a phone, by day and by night."""

import contextlib
import os
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from backburn.renderers import html
from tests.renderers.reports import GREEN, HOSTILE, SOUND, WORKFLOW, hostile, many

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LOOKS = [("light", 1100), ("dark", 320)]
MORE = [("dark", 1100), ("light", 390), ("light", 320)]
BAD = html.render([*WORKFLOW, *map(hostile, HOSTILE)])
SMALL = html.render([WORKFLOW[2], *(hostile(HOSTILE[one]) for one in (2, 4, 9))])
CLOSED = "details:not([open])"
# Nothing that a report says may become one of these.
FORGED = """() => [
  ...document.querySelectorAll('script, img, iframe, object, form, base, body style, h1 ~ h1, article h1, section h1'),
  ...[...document.querySelectorAll('a')].filter(one => !one.getAttribute('href').startsWith('#')),
  ...[...document.querySelectorAll('*')].filter(one => one.getAttributeNames().some(name => name.startsWith('on'))),
].map(one => one.outerHTML.slice(0, 80)).concat(window.hacked ? ['a script ran'] : [])"""


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert path, f"none of {', '.join(BROWSERS)} is on PATH. Install Debian's: apt-get install chromium"
    with sync_playwright() as playwright:
        sandbox = [] if os.getuid() else ["--no-sandbox"]  # Chromium's does not work for root
        with contextlib.closing(playwright.chromium.launch(executable_path=path, args=sandbox)) as launched:
            yield launched


@contextlib.contextmanager
def opened(browser, path, text, scheme="light", width=1100):
    """A page of `text` from a file, and the list of all that it says, raises or asks the network for."""
    said = []
    path.write_text(text, encoding="utf-8")
    with contextlib.closing(browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})) as one:
        page = one.new_page()
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))

        def answer(route):
            if route.request.url == path.as_uri() or route.request.url.startswith("data:"):
                return route.continue_()
            said.append(f"request: {route.request.url}")
            route.abort()

        page.route("**", answer)
        page.goto(path.as_uri())
        yield page, said


def faults(browser, path, text, scheme="light", width=1100):
    """Whatever is wrong with a page, as it opens and with all of it unfolded; an empty list if nothing is."""
    with opened(browser, path, text, scheme, width) as (page, found):
        for unfolded in (False, True):
            if unfolded:
                page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            found += [f"forged: {one}" for one in page.evaluate(FORGED)]
            wide = page.evaluate("document.documentElement.scrollWidth")
            found += [f"scrolls sideways: {wide} pixels"] if wide > width else []
            found += [f"axe: {one['id']}: {one['nodes'][0]['html'][:200]}" for one in violations(page)]
        return found


def violations(page):
    return Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_the_page_is_sound_for_every_reader(browser, tmp_path, scheme, width):
    assert faults(browser, tmp_path / "a, ü.html", BAD, scheme, width) == []


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width"), MORE)
@pytest.mark.parametrize("text", [BAD, SMALL], ids=["bad", "small"])
def test_and_for_readers_of_other_kinds(browser, tmp_path, text, scheme, width):
    assert faults(browser, tmp_path / "page.html", text, scheme, width) == []


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width"), LOOKS + MORE)
@pytest.mark.parametrize("reports", [GREEN, [SOUND], [], [many(5000)]], ids=["green", "sound", "none", "many"])
def test_other_pages_are_sound_too(browser, tmp_path, reports, scheme, width):
    assert faults(browser, tmp_path / "page.html", html.render(reports), scheme, width) == []


CSP = 'http-equiv="Content-Security-Policy"'
PLANTED = {
    "axe: color-contrast": ("--muted: #59616c", "--muted: #a0a6ae"),
    "axe: html-has-lang": ('<html lang="en">', "<html>"),
    "axe: svg-img-alt": ('role="img" aria-label', 'role="img" data-label'),
    "axe: scrollable-region-focusable": ('<pre tabindex="0"', "<pre"),
    "axe: landmark-one-main": ("<main>", "<div>"),
    "error: Executing inline script": ("</main>", "<script>1</script></main>"),
    "error: Loading the image": ("</main>", '<img alt="" src="https://example.invalid/x.png"></main>'),
    "request: https://example.invalid": (CSP, '><link rel="stylesheet" href="https://example.invalid/x.css"'),
    "forged: a script ran": (CSP, "><script>window.hacked = 1</script><meta "),
    "forged: <h1>forged": ("&lt;h1&gt;forged", "<h1>forged"),
    "forged: <img": ("&lt;img", "<img"),
    'forged: <a href="java': ('<a href="#stage-1">', '<a href="javascript:1">'),
    "scrolls sideways": ("overflow-wrap: anywhere", ""),
}


@pytest.mark.parametrize("said", PLANTED)
def test_the_judge_sees_what_is_planted(browser, tmp_path, said):
    sound, broken = PLANTED[said]
    assert sound in SMALL
    found = faults(browser, tmp_path / "page.html", SMALL.replace(sound, broken), width=390)
    assert [one for one in found if one.startswith(said)]


def test_the_judge_sees_a_pale_night(browser, tmp_path):
    text = html.render([SOUND]).replace("--muted: #a3abb6", "--muted: #4a5058")
    assert faults(browser, tmp_path / "page.html", text) == []
    assert [one[:20] for one in faults(browser, tmp_path / "page.html", text, "dark")] == ["axe: color-contrast:"] * 2


def by_keyboard(page):
    """Tab through the whole page, opening what is folded: what stayed so, and what had focus and did not show it."""
    unseen = []
    for _ in range(1000):
        page.keyboard.press("Tab")
        tag, outline = page.evaluate(
            "[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle]"
        )
        if tag == "BODY":
            return page.locator(CLOSED).count(), unseen
        unseen += [tag] if outline == "none" else []
        if page.evaluate(f"document.activeElement.matches('{CLOSED} > summary')"):
            page.keyboard.press("Enter")
    raise AssertionError("the end of the page was not reached")


def test_all_that_is_folded_opens_by_the_keyboard(browser, tmp_path):
    text = html.render(WORKFLOW + GREEN)
    with opened(browser, tmp_path / "page.html", text) as (page, _):
        assert page.locator(CLOSED).count() > 5
        assert by_keyboard(page) == (0, [])
    with opened(browser, tmp_path / "page.html", text.replace("<summary>", '<summary tabindex="-1">')) as (page, _):
        assert by_keyboard(page)[0] > 5
    with opened(browser, tmp_path / "page.html", text.replace(":focus-visible", ":focus { outline: none } x")) as (
        page,
        _,
    ):
        assert by_keyboard(page)[1]


def test_the_cause_is_what_one_sees_first(browser, tmp_path):
    with opened(browser, tmp_path / "page.html", html.render(WORKFLOW), width=390) as (page, _):
        assert page.title() == "✗ memorize/loss-falls: fail · backburn"
        assert page.locator("h1").inner_text() == "✗ fail memorize/loss-falls [digits]"
        for what in ("50% of <b>ünïcode</b>", "src/a, b:c/mödel.py:7", "Lower the <lr>, then"):
            box = page.get_by_text(what).first.bounding_box()
            assert box["y"] + box["height"] < 900, what  # without scrolling, on a phone


def test_a_curve_is_drawn_where_its_values_are(browser, tmp_path):
    with opened(browser, tmp_path / "page.html", html.render([SOUND])) as (page, _):
        image = page.get_by_role("img", name="loss: least 0.2 at step 3; most 2.3 at step 1")
        plot, line = image.bounding_box(), image.locator(".line").bounding_box()
        for side in ("x", "y", "width", "height"):
            assert line[side] == pytest.approx(plot[side], abs=3)
        assert image.locator("rect").nth(1).locator("title").text_content() == "step 2: 1"


def test_what_is_printed_is_unfolded(browser, tmp_path):
    with opened(browser, tmp_path / "page.html", html.render(GREEN)) as (page, _):
        table = page.get_by_text("cpu capability").first
        assert not table.is_visible()
        page.emulate_media(media="print")
        assert table.is_visible()
