"""The models' documentation and column lineage, two pages that open without a network."""

import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from weekclose.review.files import write_atomically
from weekclose.warehouse import Warehouse, project_digest

PAGES = ("models.html", "lineage.html")

# Both are other people's pages: they may run their scripts, and reach nothing.
OFFLINE = (
    '<meta http-equiv="Content-Security-Policy" content="'
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; worker-src blob:; form-action 'none'; base-uri 'none'\">"
)


def write_model_pages(site: Path, warehouse: Warehouse, variables: Mapping[str, Any]) -> bool:
    """Write the two pages, unless they are those of this project already; whether it wrote.

    dbt needs seconds to describe a project, and a project changes seldom.
    """
    made_for, digest = site / ".models.sha256", f"{project_digest(variables)} {version('dbt-colibri')}"
    is_current = made_for.exists() and made_for.read_text() == digest
    if is_current and all((site / page).exists() for page in PAGES):
        return False
    target = warehouse.docs(variables)
    models, lineage = (target / "static_index.html").read_text(encoding="utf-8"), _lineage(target)
    for page, text in zip(PAGES, (models, lineage), strict=True):
        write_atomically(site / page, text.replace("<head>", f"<head>{OFFLINE}", 1))
    write_atomically(made_for, digest)
    return True


def _lineage(target: Path) -> str:
    # Imported here: its SQL parser costs a second that other commands should not pay.
    from dbt_colibri.lineage_extractor.extractor import DbtColumnLineageExtractor
    from dbt_colibri.report.generator import DbtColibriReportGenerator

    for talkative in ("colibri", "sqlglot"):
        logging.getLogger(talkative).setLevel(logging.CRITICAL)
    extractor = DbtColumnLineageExtractor(str(target / "manifest.json"), str(target / "catalog.json"))
    with TemporaryDirectory() as directory:
        DbtColibriReportGenerator(extractor, light_mode=True, disable_telemetry=True).generate_report(
            directory
        )
        return (Path(directory) / "index.html").read_text(encoding="utf-8")
