"""Reports for all renderers: pass, fail, warning, skip, unjudged, and every character that needs care."""

import math

import msgspec

from backburn.report import Curve, Figure, Finding, Level, Outcome, Report, Table

ODD = "50% of <b>ünïcode</b>, a|b: `x` @team ::error::forged\nsecond line [link](x) *star* ##[error]old"

SOUND = Report(
    stage="memorize",
    question="Can the model memorize one batch?",
    outcomes=(Outcome(check="memorize/loss-falls", claim="The loss falls.", training="digits", seconds=1.25),),
    figures=(Figure(name="best-loss", value=0.03, training="digits"), Figure(name="device", text="cpu (rehearsal)")),
    curves=(Curve(name="loss", values=(2.3, 1.0, 0.2), training="digits"),),
    seconds=3.2,
    commit="0123456789abcdef",
    folder="build/backburn/memorize",
)

BROKEN = Report(
    stage="memorize",
    question="Can the model memorize one batch?",
    outcomes=(
        Outcome(check="memorize/batch-is-fixed", claim="One batch was seen.", training="digits"),
        Outcome(
            check="memorize/loss-falls",
            claim="The loss falls.",
            training="digits",
            findings=(
                Finding(
                    message=ODD,
                    file="src/a, b:c/mödel.py",
                    line=7,
                    column=3,
                    hint="Lower the <lr>, then `backburn memorize`.",
                    detail="Traceback\n```\n::error::from the training\n</details>",
                ),
                Finding(message="slow", level=Level.WARNING),
            ),
        ),
        Outcome(check="memorize/gradients-reach", claim="Gradients reach.", skipped="after loss-falls"),
        Outcome(check="memorize/on-gpu", claim="On a GPU.", unjudged="no GPU was seen"),
    ),
    folder="build/backburn/memorize",
)


def many(count):
    """A report with `count` errors, each with a long detail."""
    finding = Finding(message="bad", file="a.py", line=1, detail="é" * 9000)
    outcomes = tuple(Outcome(check=f"unit/test-{one}", claim="ok", findings=(finding,)) for one in range(count))
    return Report(stage="unit", question="Do the tests pass?", outcomes=outcomes)


# Each is a text that some renderer once let out somewhere: into markup, a link, the order of reading, or an encoder.
HOSTILE = (
    ODD,
    "</script><script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1"><svg onload=\'window.hacked = 1\'>',
    "javascript:window.hacked=1 data:text/html,x https://example.invalid/?beacon",
    "</pre></details></td></table></section><h1>forged</h1><!-- <style>*{display:none}",
    "]]><![CDATA[ <?xml version='1.0'?> <!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]> &y; &amp;lt;",
    "{{ 7 * 7 }}{% raw %}${{ secrets.TOKEN }} %0A::error::forged \\u003cb\\u003e",
    "RTL \u202egnp.exe\u202c \u2066isolate\u2069 zero\u200bwidth \ufeffmark",
    "4 bytes: 🔥 👩\u200d🔬 𝒳 𠜎, combining e\u0301",
    "unbroken" * 60,
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;javascript:1\x1b\\link\x1b]8;;\x1b\\ \r overwritten",
    "NUL \x00, backspace \x08, form feed \x0c, DEL \x7f, C1 \x85 \x9b31m, no characters \ufffe \uffff",
)


def hostile(text):
    """A report with `text` in every place that a training, a file's name or a commit can reach."""
    finding = Finding(message=text, file=text, line=7, column=3, hint=text, detail=f"{text}\n" * 20)
    outcomes = (
        Outcome(check="memorize/loss-falls", claim=text, training=text, findings=(finding,), seconds=0.5),
        Outcome(check=f"hygiene/{text}", claim=text, training=text, skipped=text),
        Outcome(check="memorize/on-gpu", claim=text, training=text, unjudged=text),
    )
    return Report(
        stage="memorize",
        question=text,
        outcomes=outcomes,
        figures=(Figure(name=text, text=text, training=text), Figure(name="loss", value=math.nan, unit=text)),
        curves=(Curve(name=text, values=(3.0, 2.0, 1.0), training=text),),
        tables=(Table(name=text, rows=((text, text), ("", "")), training=text),),
        reused=(text,),
        commit=text,
        folder=text,
        interrupted=text,
    )


_MACHINE = {"torch": "2.13.0+cpu", "lightning": "2.6.6", "cpu capability": "AVX512", "threads": "2"}
_REFERENCE = {"file": "references/reproduce/digits/cpu-avx512.json", "commit": "2e86983", "reason": "a <wider> model"}
_TABLES = (
    Table(name="environment", rows=(("device", "cpu"), *_MACHINE.items()), training="digits"),
    Table(name="reference", rows=(*_REFERENCE.items(), ("final val_loss", "0.031 → 0.03175")), training="digits"),
)
_GRID = (1, 2, 3, 5, 8, 13, 21, 34, 55, 68, 85, 106, 132, 165, 206, 257, 321, 401)
_FELL = tuple(2.3 / (1 + step / 9) ** 1.5 for step in _GRID)

# A night of three stages and what went before it, all green; one warns, and one took its evidence from an earlier run.
GREEN = (
    Report(
        stage="hygiene",
        question="Is the project tidy?",
        outcomes=tuple(
            Outcome(check=f"hygiene/{hook}", claim=f"`{hook}` passes on every file.", seconds=0.21)
            for hook in ("black", "flake8", "check-yaml", "end-of-file-fixer", "detect-private-key")
        ),
        figures=(Figure(name="hooks failed", value=0), Figure(name="slowest", text="black 0.21 s")),
        seconds=3.5,
        commit="2e869835dca53fd55e481d705f5113a49f9b4030",
        folder="build/backburn/hygiene",
    ),
    msgspec.structs.replace(SOUND, reused=("digits",), commit="2e869835dca53fd55e481d705f5113a49f9b4030"),
    Report(
        stage="reproduce",
        question="Does the full training still come out as the reference says?",
        outcomes=(
            Outcome(check="reproduce/training-ran", claim="The training ran to its end.", training="digits"),
            Outcome(
                check="reproduce/curve-holds",
                claim="The loss is within what seeds do all the way.",
                training="digits",
                findings=(Finding(message="not the same from step 34 on", level=Level.NOTICE, hint="Did torch move?"),),
            ),
        ),
        figures=(
            Figure(name="steps", value=440, training="digits"),
            Figure(name="final val_accuracy", value=0.9888268, training="digits"),
            Figure(name="worst deviation", value=0.71, unit="sd", training="digits"),
            Figure(name="device", text="cpu", training="digits"),
        ),
        curves=(
            Curve(name="loss", values=_FELL, steps=_GRID, training="digits"),
            Curve(name="reference loss", values=tuple(1.1 * one for one in _FELL), steps=_GRID, training="digits"),
        ),
        tables=_TABLES,
        seconds=31.0,
        commit="2e869835dca53fd55e481d705f5113a49f9b4030",
        folder="build/backburn/reproduce",
    ),
    Report(
        stage="profile",
        question="Does a training step cost what the reference says?",
        outcomes=(
            Outcome(check="profile/training-ran", claim="Every pass ran until it was stopped.", training="digits"),
            Outcome(
                check="profile/step-time",
                claim="The quickest step takes at most twice the time of the reference's.",
                training="digits",
                findings=(
                    Finding(message="the quickest step takes 2.9 → 6.1 ms", level=Level.WARNING, hint="Run it again."),
                ),
            ),
        ),
        figures=(
            Figure(name="step time", value=2.947, unit="ms", training="digits"),
            Figure(name="operations", value=5683, training="digits"),
        ),
        curves=(
            Curve(
                name="step seconds",
                values=tuple(0.0029 + (0.0009 if step % 17 == 3 else step % 5 * 5e-5) for step in range(50)),
                training="digits",
            ),
        ),
        tables=_TABLES[:1],
        seconds=12.7,
        commit="2e869835dca53fd55e481d705f5113a49f9b4030",
        folder="build/backburn/profile",
    ),
)

# A workflow that went wrong in each way: what failed comes last, a curve overflows, one stage could not be judged.
WORKFLOW = (
    GREEN[0],
    msgspec.structs.replace(
        GREEN[2],
        outcomes=(
            Outcome(
                check="reproduce/reference-is-comparable",
                claim="It is held against a reference of this hardware.",
                training="digits",
                unjudged="no reference for cpu-avx2; there is one for nvidia-h200",
                findings=(
                    Finding(message="no reference for cpu-avx2", level=Level.WARNING, hint="backburn bless reproduce"),
                ),
            ),
        ),
        curves=(Curve(name="loss", values=(math.nan, math.inf, *_FELL[2:9], math.nan, *_FELL[10:]), steps=_GRID),),
    ),
    msgspec.structs.replace(
        BROKEN,
        figures=(Figure(name="steps", value=300, training="digits"), Figure(name="best loss", value=math.nan)),
        curves=(
            Curve(name="loss", values=(2.3, 9.1, 640.0, 1e9, math.inf, math.nan, math.nan, 1e12), training="digits"),
            Curve(name="nothing", values=()),
            Curve(name="one", values=(1.0,)),
            Curve(name="level", values=(0.0, 0.0, -0.0)),
            Curve(name="lost", values=(math.nan, -math.inf)),
        ),
        tables=_TABLES[:1],
        commit="2e869835dca53fd55e481d705f5113a49f9b4030",
    ),
    msgspec.structs.replace(
        GREEN[3],
        outcomes=(
            Outcome(
                check="profile/gather",
                claim="The evidence was gathered.",
                training="digits",
                unjudged="interrupted by SIGTERM after 4.2 s",
            ),
        ),
        interrupted="interrupted by SIGTERM",
    ),
)
