"""The HTML frame of all report pages: a single file without scripts or external resources."""

from __future__ import annotations

from html import escape

_STYLE = """
:root{color-scheme:light}body{font:15px/1.5 system-ui,sans-serif;color:#1d2733;background:#f4f6f8;margin:0}
main{max-width:1080px;margin:0 auto;padding:32px 24px}h1{font-size:26px;margin:0}h2{font-size:16px;margin:0 0 8px}
p.sub{color:#5c6b7a;margin:4px 0 24px}.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(210px,1fr));
gap:12px}
.card,section{background:#fff;border-radius:10px;box-shadow:0 1px 3px #0002;padding:14px 16px}
.card b{display:block;font-size:22px}.card span{color:#5c6b7a;font-size:13px}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(460px,100%),1fr));gap:16px;margin-top:16px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:5px 10px;text-align:right;
border-bottom:1px solid #e6eaee}th{color:#5c6b7a;font-weight:500;font-size:13px}
th:first-child,td:first-child{text-align:left}
td.clear{font-weight:600}td small{color:#5c6b7a;white-space:nowrap}
section.wide{grid-column:1/-1}svg{width:100%;height:auto;display:block}footer{color:#5c6b7a;font-size:13px;margin-top:24px;
overflow-wrap:anywhere}
"""


def page_html(title: str, about: str, body: str, footer: str) -> str:
    """Return a whole page; `body` is HTML, the other texts are escaped here."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<main><h1>{escape(title)}</h1><p class=sub>{escape(about)}</p>{body}"
        f"<footer>{escape(footer)}</footer></main></html>\n"
    )


def section(title: str, inside: str, *, is_wide: bool = False) -> str:
    """A box with a heading round HTML."""
    return f"<section{' class=wide' if is_wide else ''}><h2>{escape(title)}</h2>{inside}</section>"
