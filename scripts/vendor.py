"""Fetches what the pages carry inside from the package registry: pinned, checked, with its licences.

Files stay as they were published. `npm` says which registry; the integrity below says what it must send.
"""

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "scripts/weekclose/review/assets/vendor"
AXE = ROOT / "tests/python/axe"

# package, version, integrity; then directory, and each file: what it is called there, and here
PACKAGES = [
    (
        "uplot",
        "1.6.32",
        "KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        ASSETS,
        {
            "dist/uPlot.iife.min.js": "uPlot.iife.min.js",
            "dist/uPlot.min.css": "uPlot.min.css",
            "LICENSE": "uPlot-LICENSE",
        },
    ),
    (
        "slickgrid",
        "5.20.2",
        "WexXtvKkXkaQWkLEszgs+3tjKweAULYW0ZMGT1JRFfrUis9IBGET6dQ7eS1wfFBao2go7U7Uj6uNrhhA9RiVMQ==",
        ASSETS,
        {
            "dist/browser/slick.core.js": "slick.core.js",
            "dist/browser/slick.interactions.js": "slick.interactions.js",
            "dist/browser/slick.grid.js": "slick.grid.js",
            "dist/styles/css/slick.grid.css": "slick.grid.css",
            "LICENSE": "slickgrid-LICENSE",
        },
    ),
    (
        "axe-core",
        "4.14.1",
        "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
        AXE,
        {
            "axe.min.js": "axe.min.js",
            "LICENSE": "LICENSE",
            "LICENSE-3RD-PARTY.txt": "LICENSE-3RD-PARTY.txt",
        },
    ),
]


def main() -> None:
    """Write the files, and a SHA256SUMS beside them that a test holds them to."""
    for name, version, integrity, directory, wanted in PACKAGES:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            fetched = _fetched(name, version, Path(scratch))
            found = base64.b64encode(hashlib.sha512(fetched.read_bytes()).digest()).decode()
            if found != integrity:
                sys.exit(f"{name} {version} is not what was pinned: sha512-{found}")
            with tarfile.open(fetched) as package:
                for member, file in wanted.items():
                    content = package.extractfile(f"package/{member}")
                    if content is None:
                        sys.exit(f"{name} {version} has no {member}")
                    (directory / file).write_bytes(content.read())
        print(f"{name} {version}: {len(wanted)} files in {directory.relative_to(ROOT)}")
    for directory in sorted({entry[3] for entry in PACKAGES}):
        sums = [
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
            for path in sorted(directory.iterdir())
            if path.name != "SHA256SUMS"
        ]
        (directory / "SHA256SUMS").write_text("".join(sums))


def _fetched(name: str, version: str, scratch: Path) -> Path:
    subprocess.run(
        ["npm", "pack", "--silent", "--pack-destination", scratch, f"{name}@{version}"],
        cwd=scratch,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (package,) = scratch.glob("*.tgz")
    return package


if __name__ == "__main__":
    main()
