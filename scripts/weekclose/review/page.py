"""One HTML file from the data of a page: all of it inside, nothing fetched, no data taken for markup."""

import gzip
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from weekclose.feeds import printable
from weekclose.reading import Calendar
from weekclose.statement import Statement

Column = Sequence[Any]

LIBRARIES = {
    "uPlot": ("uPlot.iife.min.js", "uPlot-LICENSE"),
    "SlickGrid core": ("slick.core.js", "slickgrid-LICENSE"),
    "SlickGrid interactions": ("slick.interactions.js", "slickgrid-LICENSE"),
    "SlickGrid": ("slick.grid.js", "slickgrid-LICENSE"),
}
STYLES = ("vendor/uPlot.min.css", "vendor/slick.grid.css", "look.css", "review.css")

# What every page of the site has, and what each has of its own.
SHARED = ("base.js", "data.js", "charts.js", "frame.js", "list.js", "dialog.js")
SCRIPTS = {
    "index": ("sections.js", "sellers.js", "drawer.js", "page.js"),
    "operations": ("backlog.js", "operations.js"),
    "schedules": ("schedules.js",),
    "audit": ("changes.js", "audit.js"),
    "reports": ("reports.js",),
}
# The pages that the navigation leads to, in its order.
PAGES = {
    "index": "Review",
    "operations": "Operations",
    "schedules": "Schedules and holds",
    "audit": "Audit",
    "reports": "Reports",
}

# What a column is made of, and whether it stops at zero: carried along is only what differs from it.
SUMS = {
    "net": ({"gross": 1, "fees": -1, "refunds": -1}, False),
    "payable": ({"net": 1, "disputes": -1, "adjustments": 1, "carry_in": 1}, True),
    "carry_out": ({"net": 1, "disputes": -1, "adjustments": 1, "carry_in": 1, "payable": -1}, False),
}
FEW_VALUES = 200

LONGEST_TEXT = 120

TONES = {
    "paid": "good",
    "blocked": "bad",
    "failed": "bad",
    "returned": "bad",
    "awaiting_reconciliation": "warn",
    "reversed": "warn",
}


def render(data: Mapping[str, Any]) -> str:
    """A page of the site as one HTML file that needs no network.

    `data` is what page_data.page_data or one of operations.PAGES returns: `page` says which page it is.
    """
    page = data["page"]
    return _page(
        "review.html",
        STYLES,
        _scripts(page["name"]),
        page=page,
        verdict=data["verdict"],
        pages=[(name, title, page["links"][name]) for name, title in PAGES.items() if name in page["links"]],
        packed=pack(data),
    )


def render_statement(statements: Sequence[Statement], dates: Calendar) -> str:
    """A seller's receipts for a window as one HTML file without scripts, one part for each currency."""
    return _page(
        "statement.html",
        ("look.css", "statement.css"),
        (),
        statements=statements,
        dates=dates,
        tones=TONES,
    )


def _page(template: str, styles: Sequence[str], scripts: Sequence[str], **values: object) -> str:
    sheets = [_asset(name) for name in styles]
    return (
        _environment()
        .get_template(template)
        .render(
            styles=[Markup(sheet) for sheet in sheets],  # noqa: S704 -- our own files
            scripts=[Markup(script) for script in scripts],  # noqa: S704
            policy=_policy(sheets, scripts),
            **values,
        )
    )


def _policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """What the page may do: run these very scripts and styles; no other, and no network."""
    # The grid adds an empty style element and fills it through the object model, which is not restricted.
    own_styles = " ".join(map(_source, ["", *styles]))
    own_scripts = " ".join(map(_source, scripts)) or "'none'"
    return (
        f"default-src 'none'; script-src {own_scripts}; style-src {own_styles}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


@cache
def _asset(name: str) -> str:
    return (files("weekclose.review") / "assets" / name).read_text(encoding="utf-8")


@cache
def _scripts(page: str) -> tuple[str, ...]:
    libraries = [
        f"/*! {name}\n{_asset(f'vendor/{licence}')}*/\n{_asset(f'vendor/{file}')}"
        for name, (file, licence) in LIBRARIES.items()
    ]
    own = "\n".join(map(_asset, (*SHARED, *SCRIPTS[page])))
    return (*libraries, f'(() => {{\n"use strict";\n{own}}})();\n')


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("weekclose.review", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"amount": _amount, "day": _day, "tidy": _tidy, "moment": _moment}
    return made


def _amount(value: Decimal) -> str:
    """An exact amount with a true minus."""
    return f"{value:,.2f}".replace("-", "\N{MINUS SIGN}")


def _day(value: date) -> str:
    return f"{value:%a} {value.day} {value:%b %Y}"


def _moment(value: datetime, dates: Calendar) -> str:
    """An instant on the settlement clock, to the minute, with the zone's name at that time."""
    local = value.astimezone(dates.zone)
    return f"{_day(local)}, {local:%H:%M %Z}"


def _tidy(text: str) -> str:
    """Somebody else's text: one line, no marks that turn what stands beside it, not without end."""
    return printable(text, LONGEST_TEXT)


# -- how the data is packed ---------------------------------------------------------------------------


def pack(data: Mapping[str, Any]) -> str:
    """The data as base64 of gzipped JSON, the same bytes for the same data."""
    packed = {
        name: _part(name, part) if isinstance(part, Mapping) and "columns" in part else part
        for name, part in data.items()
    }
    text = json.dumps(packed, ensure_ascii=False, separators=(",", ":"))
    # An id may hold half a surrogate pair, which no encoding can write.
    return b64encode(gzip.compress(text.encode(errors="replace"), 6, mtime=0)).decode()


def _part(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    columns = {key: _plain(column) for key, column in part["columns"].items()}
    packed: dict[str, Any] = {key: _packed(column) for key, column in columns.items()}
    if name == "sellers":
        for key, (parts, has_floor) in SUMS.items():
            if parts.keys() <= columns.keys() and columns.get(key):
                del packed[key]
                # Last, and in this order: the page computes each from those before it.
                packed[key] = _sum(columns, key, parts, has_floor)
    return {**part, "columns": packed}


def _plain(column: Any) -> Column | None:
    if isinstance(column, Mapping):
        values = column["values"]
        return [None if code is None else values[code] for code in column["codes"]]
    return column if column is None else list(column)


def _sum(columns: Mapping[str, Any], key: str, parts: Mapping[str, int], has_floor: bool) -> dict[str, Any]:
    factors = [(columns[part], factor) for part, factor in parts.items()]
    column = columns[key]
    differing = []
    for row, value in enumerate(column):
        made = sum(factor * values[row] for values, factor in factors)
        if (max(0, made) if has_floor else made) != value:
            differing.append(row)
    return {
        "sum": parts,
        "floor": has_floor,
        "length": len(column),
        "at": differing,
        "is": [column[row] for row in differing],
    }


def _packed(column: Column | None) -> Any:
    if not column:
        return column
    if all(value == column[0] for value in column) and len(column) > 1:
        return {"repeat": len(column), "value": column[0]}
    if all(value is None or isinstance(value, str) for value in column):
        return _texts(column)
    return column


def _texts(column: Column) -> Any:
    values = list(dict.fromkeys(column))
    if len(values) <= FEW_VALUES and len(values) * 2 <= len(column):
        codes = {value: code for code, value in enumerate(values)}
        return {"values": values, "codes": [codes[value] for value in column]}
    return column
