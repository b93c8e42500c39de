"""Builds `t.js` from `t.src.js`, and refuses a script above its size bound: `python -m serve_app.tracker.build`."""

import gzip
import sys
from pathlib import Path

import minify

from serve_app.tracker import SCRIPT

SOURCE = Path(__file__).with_name("t.src.js")
MAX_GZIPPED_BYTES = 3_072
"""The script is in the way of every page's load: 3 KiB fit into the first round trip."""


def build(source: str) -> str:
    """The minified script; the same source gives the same script."""
    return str(minify.string("application/javascript", source)) + "\n"


def gzipped_bytes(script: str) -> int:
    """What a browser downloads, in bytes."""
    return len(gzip.compress(script.encode(), 9, mtime=0))


def main() -> int:
    script = build(SOURCE.read_text(encoding="utf-8"))
    size = gzipped_bytes(script)
    if size > MAX_GZIPPED_BYTES:
        print(f"t.js is {size} bytes gzipped, at most {MAX_GZIPPED_BYTES} are allowed: not written", file=sys.stderr)
        return 1
    SCRIPT.write_text(script, encoding="utf-8")
    print(f"{SCRIPT}: {len(script)} bytes, {size} gzipped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
