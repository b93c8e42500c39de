"""The committed `t.js` is the build of the committed source, and small."""

from serve_app.tracker import SCRIPT
from serve_app.tracker.build import MAX_GZIPPED_BYTES, SOURCE, build, gzipped_bytes


def test_the_script_is_the_build_of_its_source() -> None:
    built = build(SOURCE.read_text(encoding="utf-8"))
    assert SCRIPT.read_text(encoding="utf-8") == built, "run `python -m serve_app.tracker.build`"


def test_the_script_fits_into_its_size_bound() -> None:
    assert gzipped_bytes(SCRIPT.read_text(encoding="utf-8")) <= MAX_GZIPPED_BYTES
