"""Pages for people: a run's report, and what stands or stood at an environment's lasting link. Pure.

A page fetches nothing and runs nothing: its style stands in it, by its hash in the policy that it is
served with. Whatever a run, a repository or a git host said is text.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
import textwrap
from collections.abc import Iterator
from datetime import datetime
from html import escape
from pathlib import Path

from kumoi.pipeline.progress import counted
from kumoi.pipeline.run_report import CheckReport, RunReport
from kumoi.pipeline.store.environment import Environment, EnvironmentStatus
from kumoi.pipeline.store.run import RunStatus

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
AGAIN_S = 5
"""How often the page of a run that goes on is loaded again."""


def report(of: RunReport) -> str:
    """The whole page."""
    title = f"{of.repository} {of.branch}: {of.status}"
    return _page(title, [*_head(of), *_body(of)], goes_on=of.status == RunStatus.RUNNING)


def without_url(environment: Environment, repository: str, commit: str) -> str:
    """Of an environment that lives and has no URL that its link could lead to."""
    words = [
        _title(repository, environment.branch, environment.status, "running"),
        (
            f"<p class=facts>Here stands commit <code>{escape(commit[:COMMIT_SHOWN])}</code>, since "
            f"{_when(environment.created_at)}, until {_when(environment.expires_at)}.</p>"
        ),
        "<p>It has no URL: it is not built yet, or no balancer and no group with ports is in its file.</p>",
        f"<h2>To get in</h2><div class=card><pre>kumoi env ssh {escape(environment.id)} SERVER</pre></div>",
    ]
    return _page(f"{repository} {environment.branch} has no URL", words)


def ended(environment: Environment, repository: str, commit: str) -> str:
    """What stood at an environment's URL, and how to get it back."""
    since = _when(environment.ended_at or environment.expires_at)
    push = f"git push kumoi {shlex.quote(f'HEAD:refs/heads/{environment.branch}')}"
    words = [
        _title(repository, environment.branch, environment.status, "cancelled"),
        (
            f"<p class=facts>Here stood commit <code>{escape(commit[:COMMIT_SHOWN])}</code>, from "
            f"{_when(environment.created_at)} to {since}: {escape(environment.reason or 'it was deleted')}.</p>"
        ),
        "<h2>To get it back</h2><div class=card>",
        f"<p>Run the same commit again:</p><pre>kumoi run retry {escape(environment.newest_run_id)}</pre>",
        "<p>Or push another one, since git does not send what is there already:</p>",
        f"<pre>git commit --allow-empty -m again\n{escape(push)}</pre></div>",
    ]
    return _page(f"{repository} {environment.branch} has ended", words)


def _page(title: str, parts: list[str], *, goes_on: bool = False) -> str:
    again = f'<meta http-equiv=refresh content="{AGAIN_S}">' if goes_on else ""
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">{again}'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + "\n<footer>Kumoi</footer></main></body></html>\n"
    )


def _title(repository: str, branch: str, words: str, shape: str) -> str:
    return (
        f"<header><h1>{escape(repository)} <span class=soft>{escape(branch)}</span></h1>"
        f'<span class="pill {escape(shape)}">{escape(words)}</span></header>'
    )


def _head(of: RunReport) -> Iterator[str]:
    has_failed = of.status == RunStatus.FAILED
    yield _title(
        of.repository,
        of.branch,
        f"failed in {of.stage}" if has_failed and of.stage else of.status,
        of.status,
    )
    yield (
        f"<p class=facts>{counted(each.outcome for each in of.checks) or 'No checks'} in {of.seconds:.1f} s. Run "
        f"<code>{escape(of.id)}</code> of commit <code>{escape(of.commit[:COMMIT_SHOWN])}</code> by "
        f"{escape(of.owner or 'somebody')}, {_when(of.created_at)}.</p>"
    )
    is_live = of.environment_status == EnvironmentStatus.LIVE
    if of.url and is_live:
        yield f'<p class=url><a href="{escape(of.url)}">{escape(of.url)}</a></p>'
    if of.lasting_url:
        what = f"Environment <code>{escape(of.environment)}</code>"
        link = f'<a href="{escape(of.lasting_url)}">'
        if is_live and of.expires_at:
            rest = f"lives until {_when(of.expires_at)}; {link}a link that outlives it</a>"
        else:
            rest = f"is {escape(of.environment_status)}; {link}what stood there</a>"
        yield f"<p class=facts>{what} {rest}.</p>"


def _body(of: RunReport) -> Iterator[str]:
    if of.failures:
        yield "<h2>What failed</h2>"
        yield from map(_failure, of.failures)
    elif of.reason:
        yield f'<h2>Why</h2><div class="card failure"><pre>{escape(of.reason)}</pre></div>'
    yield "<h2>Stages</h2>"
    yield from _timeline(of)
    if of.checks:
        yield '<h2>Checks</h2><div class=card><table class="checks">'
        yield "<tr><th>Check<th>Server<th>Stage<th class=n>Seconds</tr>"
        yield from map(_row, of.checks)
        yield "</table></div>"
    if of.addresses:
        yield '<h2>Addresses</h2><div class=card><table class="addresses">'
        for name, address in sorted(of.addresses.items()):
            yield f"<tr><td>{escape(name)}<td><code>{escape(address)}</code></tr>"
        yield "</table></div>"
    yield from _changes(of)


def _failure(check: CheckReport) -> str:
    where = f"{check.server}: " if check.server else ""
    output = check.output.strip("\n") or "it printed nothing"
    suite = f" by {check.suite}" if check.suite not in {"", check.stage} else ""
    return (
        f'<div class="card failure"><h3>{escape(where + check.name)}</h3>'
        f"<span class=soft>{escape(check.stage + suite)}, {check.seconds:.2f} s</span>"
        f"<pre>{escape(output)}</pre></div>"
    )


def _timeline(of: RunReport) -> Iterator[str]:
    """A bar whose parts are as long as the stages took; one that failed is red."""
    whole, at = sum(each.seconds for each in of.stages) or 1.0, 0.0
    bars, words = [], []
    for each in of.stages:
        has_failed = of.status == RunStatus.FAILED and each.name == of.stage
        shape = "broken" if has_failed else f"of-{escape(each.name)}"
        width = each.seconds / whole * WIDTH
        bars.append(f'<rect class="{shape}" x="{at:.1f}" width="{width:.1f}" height="14"/>')
        at += width
        dot = f'<svg viewBox="0 0 10 10"><circle class="{shape}" cx="5" cy="5" r="5"/></svg>'
        counts = counted(check.outcome for check in of.checks if check.stage == each.name)
        more = "" if each.is_over else " so far"
        more += f" <span class=soft>{counts}</span>" if counts else ""
        words.append(f"<span>{dot} {escape(each.name)} {each.seconds:.1f} s{more}</span>")
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
        yield f"<pre>{escape(textwrap.dedent(of.changes.diffstat))}</pre>"
    yield "</div>"


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
