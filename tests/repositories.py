"""Real git repositories for tests: a commit is a dictionary of files."""

import subprocess


def git(folder, *words, who="Ada"):
    named = ("-c", f"user.name={who}", "-c", f"user.email={who.lower()}@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *named, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def begin(folder, files):
    """A repository with one commit of these files; its full hash."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    return commit(folder, "Begin", files)


def commit(folder, subject, files, who="Ada"):
    """Write the files (None: removed) and commit them; its full hash."""
    for name, text in files.items():
        path = folder / name
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", subject, f"--author={who} <{who.lower()}@example.com>")
    return git(folder, "rev-parse", "HEAD")
