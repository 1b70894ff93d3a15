"""The hunk that is shown is the one that speaks of what differs, in a file that the training reaches."""

from backburn.blame.hunks import LINES, likeliest, parsed

PATCH = """\
diff --git a/README.md b/README.md
index 1..2 100644
--- a/README.md
+++ b/README.md
@@ -1 +1 @@
-Digits with dropout.
+Digits, with dropout in the encoder.
diff --git a/src/net.py b/src/net.py
index 1..2 100644
--- a/src/net.py
+++ b/src/net.py
@@ -3,3 +3,3 @@ class Net:
 import torch
-NAME = "a"
+NAME = "b"
@@ -20,4 +20,4 @@ class Net:
         self.encoder = nn.Sequential(
-            nn.Dropout(0.1),
+            nn.Dropout(0.2),
--- a comment that was taken out
@@ -40,3 +40,3 @@ class Net:
-        return Adam(self.parameters(), lr=1e-3)
+        return Adam(self.parameters(), lr=1.01e-3)
"""


def test_each_hunk_with_its_file():
    assert [(one.file, len(one.changed)) for one in parsed(PATCH)] == [
        ("README.md", 2), ("src/net.py", 2), ("src/net.py", 3), ("src/net.py", 2),
    ]  # fmt: skip


def test_the_one_that_speaks_of_it():
    reached = {"src/net.py"}
    assert "lr=1.01e-3" in likeliest(PATCH, reached, "optimizer", ["0.0.lr"]).lines[1]
    assert "Dropout(0.2)" in likeliest(PATCH, reached, "forward", ["encoder.0", "dropout"]).lines[1]
    assert likeliest(PATCH, {"README.md"}, "forward", ["encoder"]).file == "README.md"


def test_a_long_one_is_cut_and_an_empty_diff_has_none():
    long = PATCH + "".join(f"+line {number} {'x' * 300}\n" for number in range(30))
    hunk = likeliest(long, {"src/net.py"}, "optimizer", ["lr"])
    assert len(hunk.lines) == LINES and hunk.lines[-1] == "… 25 more lines" and len(hunk.lines[-2]) == 160
    assert likeliest("", (), "data", []) is None
