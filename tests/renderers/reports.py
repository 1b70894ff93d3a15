"""One report for all renderers: pass, fail, warning, skip, unjudged, and every character that needs care."""

from backburn.report import Curve, Figure, Finding, Level, Outcome, Report

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
