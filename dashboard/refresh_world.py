"""Draws the vendored world map anew: `python -m dashboard.refresh_world`. Needs `npm`. May be run again at any time.

The shapes are Natural Earth's at 1:110 million, in the Natural Earth projection (Šavrič, Jenny, Patterson, Petrovič,
Hurni: "A polynomial equation for the Natural Earth projection", 2011): it looks round and fits a wide, low panel.
"""

import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pistats.npm_package import package_file

PACKAGE = "world-atlas"
MEMBER = "package/countries-110m.json"
WORLD = Path(__file__).parent / "assets" / "world" / "world.json"
SOURCE_NOTE = WORLD.with_name("world.source.json")

WIDTH = 4000
"""Units from the western to the eastern edge; paths are whole units. The panel has about 500 pixels: 8 units each."""

NEAR = 4
"""Points nearer to their predecessor than this, in units, are left out: half a pixel."""

MIDDLE = 11
"""The meridian in the middle, in degrees east: the edges pass through the Bering Strait and cut no country."""

ANTARCTICA = "010"

ALPHA_2 = """
004AF 008AL 012DZ 024AO 031AZ 032AR 036AU 040AT 044BS 050BD 051AM 056BE 064BT 068BO 070BA 072BW 076BR 084BZ 090SB
096BN 100BG 104MM 108BI 112BY 116KH 120CM 124CA 140CF 144LK 148TD 152CL 156CN 158TW 170CO 178CG 180CD 188CR 191HR
192CU 196CY 203CZ 204BJ 208DK 214DO 218EC 222SV 226GQ 231ET 232ER 233EE 238FK 242FJ 246FI 250FR 260TF 262DJ 266GA
268GE 270GM 275PS 276DE 288GH 300GR 304GL 320GT 324GN 328GY 332HT 340HN 348HU 352IS 356IN 360ID 364IR 368IQ 372IE
376IL 380IT 384CI 388JM 392JP 398KZ 400JO 404KE 408KP 410KR 414KW 417KG 418LA 422LB 426LS 428LV 430LR 434LY 440LT
442LU 450MG 454MW 458MY 466ML 478MR 484MX 496MN 498MD 499ME 504MA 508MZ 512OM 516NA 524NP 528NL 540NC 548VU 554NZ
558NI 562NE 566NG 578NO 586PK 591PA 598PG 600PY 604PE 608PH 616PL 620PT 624GW 626TL 630PR 634QA 642RO 643RU 646RW
682SA 686SN 688RS 694SL 703SK 704VN 705SI 706SO 710ZA 716ZW 724ES 728SS 729SD 732EH 740SR 748SZ 752SE 756CH 760SY
762TJ 764TH 768TG 780TT 784AE 788TN 792TR 795TM 800UG 804UA 807MK 818EG 826GB 834TZ 840US 854BF 858UY 860UZ 862VE
887YE 894ZM
"""
"""ISO 3166-1: numeric code as the source has it, then the code of two letters as events have it."""

WITHOUT_NUMBER = {"Kosovo": "XK", "N. Cyprus": "CY", "Somaliland": "SO"}
"""Shapes of the source without a number: the code that databases of addresses give to addresses there."""

Point = tuple[float, float]
"""Longitude and latitude in degrees, or units of the map."""


def refresh() -> str:
    """Replaces the map and the note beside it; the version of the source. Fails before it replaces anything."""
    fetched = package_file(PACKAGE, MEMBER)
    WORLD.write_text(drawn(json.loads(fetched.content)), "utf-8")
    SOURCE_NOTE.write_text(fetched.note, "utf-8")
    return fetched.version


def drawn(topology: dict[str, Any]) -> str:
    """The map as JSON, a line per country: `{"box": [x, y, width, height], "shapes": {"DE": "M…z", …}}`."""
    arcs = [_thinned(points) for points in _arcs(topology)]
    numbers = {entry[:3]: entry[3:] for entry in ALPHA_2.split()}
    shapes: dict[str, str] = {}
    shown: list[Point] = []
    for geometry in topology["objects"]["countries"]["geometries"]:
        number, name = geometry.get("id"), geometry["properties"]["name"]
        if number == ANTARCTICA:  # a third of the height, and nobody there
            continue
        code = numbers.get(number) or WITHOUT_NUMBER.get(name)
        if code is None:
            sys.exit(f"The source has a shape without a known code: {name} ({number}). Nothing was replaced.")
        rings = [[_project(*point) for point in _ring(ring, arcs)] for ring in _rings(geometry)]
        shown += [point for ring in rings for point in ring]
        shapes[code] = shapes.get(code, "") + "".join(map(_path, rings))
    lines = ",\n".join(f"{json.dumps(code)}:{json.dumps(path)}" for code, path in sorted(shapes.items()))
    return f'{{"box":{json.dumps(_box(shown))},"shapes":{{\n{lines}\n}}}}\n'


def _arcs(topology: dict[str, Any]) -> list[list[Point]]:
    (scale_x, scale_y), (left, bottom) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for arc in topology["arcs"]:
        x = y = 0
        points = []
        for step_x, step_y in arc:
            x, y = x + step_x, y + step_y
            points.append((left + x * scale_x, bottom + y * scale_y))
        arcs.append(points)
    return arcs


def _project(longitude: float, latitude: float) -> Point:
    """Longitude and latitude in degrees to units from the middle of the map, y downwards."""
    p = math.radians(latitude)
    width = 0.8707 - 0.131979 * p**2 - 0.013791 * p**4 + 0.003971 * p**10 - 0.001529 * p**12
    height = p * (1.007226 + 0.015085 * p**2 - 0.044475 * p**6 + 0.028874 * p**8 - 0.005916 * p**10)
    unit = WIDTH / (2 * math.pi * 0.8707)
    return math.radians(longitude - MIDDLE) * width * unit, -height * unit


def _thinned(points: list[Point]) -> list[Point]:
    """Both ends stay, so that neighbours go on meeting: they share the arc between them."""
    kept = points[:1]
    for point in points[1:-1]:
        if math.dist(_project(*point), _project(*kept[-1])) >= NEAR:
            kept.append(point)
    return [*kept, points[-1]]


def _rings(geometry: dict[str, Any]) -> list[list[int]]:
    polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
    return [ring for polygon in polygons for ring in polygon]


def _ring(ring: list[int], arcs: list[list[Point]]) -> list[Point]:
    """The points of a closed line, on one side of the map. A negative index is the arc ~index backwards.

    The source jumps from 180° east to 180° west within a line; here longitudes go on beyond 180.
    """
    points: list[Point] = []
    for index in ring:
        points += (arcs[index] if index >= 0 else arcs[~index][::-1])[:-1]
    going_on = [points[0][0]]
    for longitude, _ in points[1:]:
        going_on.append(longitude - 360 * round((longitude - going_on[-1]) / 360))
    turns = round(((min(going_on) + max(going_on)) / 2 - MIDDLE) / 360)
    return [(x - 360 * turns, latitude) for x, (_, latitude) in zip(going_on, points, strict=True)]


def _path(points: list[Point]) -> str:
    """Steps between rounded points, so that roundings do not add up. Empty when nothing is left to fill."""
    (x, y), *places = [(round(x), round(y)) for x, y in points]
    start, steps = (x, y), []
    for place in places:
        if place != (x, y):
            steps += [place[0] - x, place[1] - y]
            x, y = place
    return f"M{_numbers(start)}l{_numbers(steps)}z" if len(steps) > 2 else ""


def _numbers(values: Iterable[int]) -> str:
    """As short as SVG allows: a minus parts numbers as well as a space does."""
    return " ".join(map(str, values)).replace(" -", "-")


def _box(points: list[Point]) -> list[int]:
    margin = 16
    left, top = (math.floor(min(point[axis] for point in points)) - margin for axis in (0, 1))
    right, bottom = (math.ceil(max(point[axis] for point in points)) + margin for axis in (0, 1))
    return [left, top, right - left, bottom - top]


if __name__ == "__main__":
    print(f"{WORLD.name} is now drawn from version {refresh()}, {WORLD.stat().st_size:,} bytes")
