"""Pages for people: a run's report, and what stood at the URL of an environment that has ended. Pure.

A page fetches nothing and runs nothing: its style stands in it, by its hash in the policy that it is
served with. Whatever a run, a repository or a git host said is text.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import datetime
from html import escape
from pathlib import Path

from kumoi.pipeline.run_report import CheckReport, RunReport, StageReport
from kumoi.pipeline.store.environment import Environment

STYLE = Path(__file__).with_name("report_page.css").read_text()
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'"
HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
MEDIA_TYPE = "text/html; charset=utf-8"
COMMIT_SHOWN = 10
WIDTH = 1_000


def report(of: RunReport) -> str:
    """The whole page."""
    return _page(f"{of.repository} {of.branch}: {of.status}", [*_head(of), *_body(of)])


def ended(environment: Environment, repository: str, commit: str) -> str:
    """What stood at an environment's URL, and how to get it back."""
    since = _when(environment.ended_at or environment.expires_at)
    words = [
        (
            f"<header><h1>{escape(repository)} <span class=soft>{escape(environment.branch)}</span></h1>"
            f'<span class="pill cancelled">{escape(environment.status)}</span></header>'
        ),
        (
            f"<p class=facts>Here stood commit <code>{escape(commit[:COMMIT_SHOWN])}</code>, from "
            f"{_when(environment.created_at)} to {since}: {escape(environment.reason or 'it was deleted')}.</p>"
        ),
        "<h2>To get it back</h2><div class=card>",
        f"<p>Run the same commit again:</p><pre>kumoi run retry {escape(environment.newest_run_id)}</pre>",
        (
            f"<p>Or push it:</p><pre>git push kumoi {escape(commit[:COMMIT_SHOWN])}:refs/heads/"
            f"{escape(environment.branch)}</pre></div>"
        ),
    ]
    return _page(f"{repository} {environment.branch} has ended", words)


def _page(title: str, parts: list[str]) -> str:
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + "\n<footer>Kumoi</footer></main></body></html>\n"
    )


def _head(of: RunReport) -> Iterator[str]:
    yield (
        f"<header><h1>{escape(of.repository)} <span class=soft>{escape(of.branch)}</span></h1>"
        f'<span class="pill {escape(of.status)}">{escape(of.status)}</span></header>'
    )
    counts = ", ".join(f"{count} {name}" for name, count in of.counts.items() if count)
    yield (
        f"<p class=facts>Run <code>{escape(of.id)}</code> of commit "
        f"<code>{escape(of.commit[:COMMIT_SHOWN])}</code> by {escape(of.owner or 'somebody')}, "
        f"{_when(of.created_at)}, {of.seconds:.1f} s. {counts or 'No checks'}.</p>"
    )
    if of.url and of.environment_status == "live":
        yield f'<p class=url><a href="{escape(of.url)}">{escape(of.url)}</a></p>'
    if of.lasting_url:
        until = f"; it lives until {_when(of.expires_at)}" if of.expires_at else ""
        where = f'<a href="{escape(of.lasting_url)}">a link that outlives it</a>'
        yield f"<p class=facts>Environment <code>{escape(of.environment)}</code>, {where}{until}.</p>"


def _body(of: RunReport) -> Iterator[str]:
    if of.failures:
        yield "<h2>What failed</h2>"
        yield from map(_failure, of.failures)
    elif of.reason:
        yield f'<h2>Why</h2><div class="card failure"><pre>{escape(of.reason)}</pre></div>'
    yield "<h2>Stages</h2>"
    yield from _timeline(of.stages)
    if of.checks:
        yield "<h2>Checks</h2><div class=card><table><tr><th>Check<th>Server<th>Stage<th class=n>s</tr>"
        yield from map(_row, of.checks)
        yield "</table></div>"
    if of.addresses:
        yield "<h2>Addresses</h2><div class=card><table>"
        for name, address in sorted(of.addresses.items()):
            yield f"<tr><td>{escape(name)}<td><code>{escape(address)}</code></tr>"
        yield "</table></div>"
    yield from _changes(of)


def _failure(check: CheckReport) -> str:
    where = f"{check.server}: " if check.server else ""
    output = check.output.strip("\n") or "it printed nothing"
    return (
        f'<div class="card failure"><h3>{escape(where + check.name)}</h3>'
        f"<span class=soft>{escape(check.stage)} {escape(check.suite)}, {check.seconds:.2f} s</span>"
        f"<pre>{escape(output)}</pre></div>"
    )


def _timeline(stages: list[StageReport]) -> Iterator[str]:
    """A bar whose parts are as long as the stages took."""
    whole, at = sum(each.seconds for each in stages) or 1.0, 0.0
    bars, words = [], []
    for index, each in enumerate(stages):
        width = each.seconds / whole * WIDTH
        shape = f'<rect class="s{index % 5}" x="{at:.1f}" width="{width:.1f}" height="14"/>'
        at += width
        bars.append(shape)
        dot = f'<svg viewBox="0 0 10 10"><circle class="s{index % 5}" cx="5" cy="5" r="5"/></svg>'
        goes_on = "" if each.is_over else " so far"
        words.append(f"<span>{dot} {escape(each.name)} {each.seconds:.1f} s{goes_on}</span>")
    yield (
        f'<div class=card><svg viewBox="0 0 {WIDTH} 14" preserveAspectRatio="none" role="img" '
        f'aria-label="How long each stage took">{"".join(bars)}</svg>'
        f"<div class=legend>{''.join(words)}</div></div>"
    )


def _row(check: CheckReport) -> str:
    name = (
        f'<span class="{escape(check.outcome)}">{_sign(check.outcome)}</span> {escape(check.name)}'
    )
    if check.output.strip():
        output = escape(check.output.strip("\n"))
        name = f"<details><summary>{name}</summary><pre>{output}</pre></details>"
    return (
        f"<tr><td>{name}<td>{escape(check.server)}<td>{escape(check.stage)}"
        f"<td class=n>{check.seconds:.2f}</tr>"
    )


def _sign(outcome: str) -> str:
    return {"passed": "✓", "failed": "✗"}.get(outcome, "–")


def _changes(of: RunReport) -> Iterator[str]:
    if of.changes is None:
        return
    since = of.changes.since[:COMMIT_SHOWN]
    yield f"<h2>Changed since {f'{escape(since)}, verified last' if since else 'the beginning'}</h2>"
    yield "<div class=card>"
    if not of.changes.commits:
        yield "<p class=soft>Nothing: it is the same commit.</p>"
    for each in of.changes.commits:
        author = f"<span class=soft>{escape(each.author)}</span>"
        yield f"<div><code>{escape(each.commit[:COMMIT_SHOWN])}</code> {escape(each.subject)} {author}</div>"
    if of.changes.more:
        yield f"<div class=soft>and {of.changes.more} more</div>"
    if of.changes.diffstat:
        yield f"<pre>{escape(of.changes.diffstat)}</pre>"
    yield "</div>"


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
