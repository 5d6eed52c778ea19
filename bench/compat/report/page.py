"""The report as one HTML page that needs nothing else: style, script and data are inside.

The template is filled with the document as JSON; what is seen (charts, the matrix and its filters) is made of it by the
page's own script.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).with_name("templates")


def page(told: dict[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=True)
    return environment.get_template("page.html.j2").render(
        data=script_safe(told), started=told["sessions"][-1]["started"] if told["sessions"] else ""
    )


def script_safe(value: Any) -> Any:
    """JSON that cannot end the script element it stands in, whatever a test has printed."""
    from markupsafe import Markup

    text = json.dumps(value, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
