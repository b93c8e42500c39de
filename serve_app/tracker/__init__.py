"""The tracker script: `t.src.js` is the source, `t.js` its minified build, committed beside it."""

from pathlib import Path

SCRIPT = Path(__file__).with_name("t.js")
"""What `GET /t.js` serves: `text/javascript; charset=utf-8`, cacheable."""
