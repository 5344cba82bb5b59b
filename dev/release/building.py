"""Builds the wheel and the sdist from the committed files."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent.parent


def said(*command: str) -> str:
    """Return a command's output; raise CalledProcessError if it fails."""
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.strip()


def tracked(*folders: str) -> set[str]:
    """Return the paths of the committed files, in some folders or in all."""
    return set(said("git", "ls-tree", "-r", "--name-only", "HEAD", *folders).splitlines())


def build(folder: Path, repository: str) -> list[Path]:
    """Build sdist and wheel, the wheel from the sdist, in a new folder; return both, the sdist first.

    The source is the last commit, so no stray files can get in, and the files have the commit's time.

    :param repository: URL of the repository on its forge, see ``hatch_build.py``.
    """
    source, target = folder / "source", folder / "dist"
    source.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=CHECKOUT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(source, filter="data")
    uv = Path(os.environ.get("UV", "uv"))
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": said("git", "log", "-1", "--format=%ct"),
        # The build tools write their version into it, so they are as of the commit's time too.
        "UV_EXCLUDE_NEWER": said("git", "log", "-1", "--format=%cI"),
        "REPOSITORY_URL": repository,
        "PATH": f"{uv.parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "build", "--installer", "uv", "--outdir", str(target), str(source)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"The build failed:\n{ran.stdout}{ran.stderr}")
    return sorted(target.iterdir(), key=lambda path: path.suffix == ".whl")
