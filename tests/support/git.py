"""A project in a git repository, its commits signed with SSH keys by the real git and ssh-keygen."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def git(folder: Path, *words: str, key: Path | None = None, date: str = "", stdin: bytes | None = None) -> str:
    """Runs git without anybody's configuration.

    Args:
        folder: The work tree.
        words: The command.
        key: That signs.
        date: Of a commit.
        stdin: What it reads.
    """
    own = {"user.name": "x", "user.email": "x@example.org", "init.defaultBranch": "main", "gpg.format": "ssh", "core.autocrlf": "false"}
    if key is not None:
        own["user.signingkey"] = str(key)
    settings = [part for name, value in own.items() for part in ("-c", f"{name}={value}")]
    dated = {"GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date} if date else {}
    # Git's own variables of whoever runs the tests would name another repository.
    rest = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = {**rest, **dated, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *settings, *words], cwd=folder, input=stdin, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def commit_all(folder: Path, key: Path | None, date: str = "", *more: str) -> str:
    """Commits everything in a folder, signed where there is a key; returns the commit's name."""
    if not (folder / ".git").exists():
        git(folder, "init", "-q", *more)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "as it is", *(["-S"] if key is not None else []), key=key, date=date)
    return git(folder, "rev-parse", "HEAD")
