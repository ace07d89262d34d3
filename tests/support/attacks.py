# ruff: noqa: E501 - tables of attacks
"""What a transcript may hold that would run, load or disguise something; `PWNED` is what must never be called."""

from __future__ import annotations

from typing import Any

OUTSIDE = "https://evil.example"
ATTACKS = {
    "script": "<script>PWNED('script')</script>",
    "script in a closed tag": "</pre></code></div><script>PWNED('closed')</script>",
    "image that fails": f"<img src={OUTSIDE}/a.png onerror=PWNED('img')>",
    "image of nothing": "<img src=x onerror=PWNED('img2')>",
    "svg": "<svg onload=PWNED('svg')><script>PWNED('svg2')</script></svg>",
    "svg picture": f"<svg><image href='{OUTSIDE}/svg.png'/><use href='{OUTSIDE}/u.svg#x'/></svg>",
    "math": "<math><mtext><table><mglyph><style><img src=x onerror=PWNED('math')>",
    "frame": f"<iframe src='{OUTSIDE}/frame' srcdoc='<script>parent.PWNED(1)</script>'></iframe>",
    "object": f"<object data='{OUTSIDE}/o'></object><embed src='{OUTSIDE}/e'>",
    "style": f"<style>@import '{OUTSIDE}/s.css'; body{{background:url({OUTSIDE}/bg.png)}} *{{display:none}}</style>",
    "style attribute": f"<b style=\"position:fixed;inset:0;background:url('{OUTSIDE}/st.png')\">over all</b>",
    "link": f"<link rel=stylesheet href={OUTSIDE}/l.css><meta http-equiv=refresh content='0;url={OUTSIDE}/meta'>",
    "base": f"<base href='{OUTSIDE}/'>",
    "form": f"<form action='{OUTSIDE}/form'><button autofocus onfocus=PWNED('focus')>Go</button></form>",
    "events": "<details open ontoggle=PWNED('toggle')><summary onmouseover=PWNED('over')>x</summary></details>",
    "animation": "<style>@keyframes x{}</style><b style='animation-name:x' onanimationstart=PWNED('anim')>x</b>",
    "media": f"<video src='{OUTSIDE}/v' onerror=PWNED('v')></video><audio src=x onerror=PWNED('a')></audio>",
    "id and name": "<a id=content name=confirm>x</a><img name=getElementById>",
    "attribute": "\" onmouseover=PWNED('attr') x=\"' autofocus onfocus=PWNED('attr2') x='",
    "markdown javascript": "[click](javascript:PWNED('md')) [c](JaVaScRiPt:PWNED(1)) [d](java\tscript:PWNED(2))",
    "markdown entity": "[e](&#106;avascript:PWNED('ent')) [f](javascript&colon;PWNED(3)) [g](\x01javascript:PWNED(4))",
    "markdown vbscript": "[v](vbscript:PWNED('vb')) [l](livescript:PWNED(5)) [b](blob:x) [f](file:///etc/passwd)",
    "markdown reference": "[ref]\n\n[ref]: javascript:PWNED('ref') \"t\"",
    "markdown autolink": "<javascript:PWNED('auto')> <https://evil.example/\" onmouseover=\"PWNED('x')>",
    "markdown picture": f"![p]({OUTSIDE}/p.png) ![q](javascript:PWNED('pic')) ![r][r]\n\n[r]: {OUTSIDE}/r.png",
    "markdown data": "[d](data:text/html,<script>PWNED('data')</script>) ![s](data:image/svg+xml,<svg onload=PWNED(6)>)",
    "markdown title": "[t](https://evil.example '\" onmouseover=PWNED(7) \"')",
    "markdown fence": "```\"><script>PWNED('fence')</script>\n<script>PWNED('code')</script>\n```",
    "markdown html block": "<div>\n\n<script>PWNED('block')</script>\n\n</div>\n<!-- <script>PWNED('c')</script> -->",
    "bare address": f'see {OUTSIDE}/"onmouseover="PWNED(8) and {OUTSIDE}/<script>PWNED(9)</script>',
    "address as text": "javascript:PWNED('url')",
    "data address": "data:text/html;base64,PHNjcmlwdD5QV05FRCgpPC9zY3JpcHQ+",
    "svg data": "data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9UFdORUQoKT48L3N2Zz4=",
    "file address": "file:///etc/passwd",
    "ansi": "\x1b[31m<script>PWNED('ansi')</script>\x1b[0m\x1b[38;2;1;2;3m\"><img src=x onerror=PWNED(10)>\x1b[m",
    "ansi link": "\x1b]8;;javascript:PWNED(11)\x1b\\click\x1b]8;;\x1b\\ \x1b]0;<script>PWNED(12)</script>\x07",
    "ansi number": '\x1b[38;2;1;2;url(https://evil.example)mX \x1b[38;5;"><script>PWNED(13)</script>m',
    "template": "{{ 7*7 }}{% load x %}${PWNED(14)}{{constructor.constructor('PWNED(15)')()}}",
    "hypertext attribute": "<b hx-get='/x' hx-trigger=load hx-on:click=PWNED(16) data-whole='/x' data-load='/y'>x</b>",
    "tag of ours": "<system-reminder><script>PWNED(17)</script></system-reminder><command-name><img src=x onerror=PWNED(18)></command-name>",
    "nul and controls": "<scr\0ipt>PWNED(19)</scr\0ipt>\u202egnp.exe\u2066\u2028<img src=x onerror=PWNED(20)>",
    "surrogate": "\ud800<script>PWNED(21)</script>\udfff",
    "encoded": "&lt;script&gt;PWNED(22)&lt;/script&gt; &#60;img src=x onerror=PWNED(23)&#62; %3Cscript%3E",
    "long class": "```" + "a" * 5000 + " onload=PWNED(24)\nx\n```",
}
# What must stay for a record to be read as what it is.
STRUCTURE = {
    "type", "subtype", "id", "tool_use_id", "uuid", "parentUuid", "sessionId", "timestamp", "role", "operation", "toolUseID",
}  # fmt: skip


def infected(value: Any, attack: str, *, names: bool = False, keys: bool = False, field: str = "") -> Any:
    """Put an attack into every text: not into what makes a record what it is, nor into tools' names unless `names`.

    With `keys` the names of fields carry it too, beside the real ones.
    """
    if isinstance(value, str):
        if field in STRUCTURE or (field == "name" and not names):
            return value
        return attack
    if isinstance(value, list):
        return [infected(item, attack, names=names, keys=keys, field=field) for item in value]
    if not isinstance(value, dict):
        return value
    out = {name: infected(item, attack, names=names, keys=keys, field=name) for name, item in value.items()}
    return out | {attack: attack} if keys and "message" not in value else out


def mixed(value: Any, attack: str, field: str = "") -> Any:
    """Put an attack behind every text, so that what stands before it still makes sense: numbers of lines, tags, paths."""
    if isinstance(value, str):
        return value if field in STRUCTURE or field == "name" else f"{value}{attack}"
    if isinstance(value, list):
        return [mixed(item, attack, field) for item in value]
    return (
        {name: mixed(item, attack, name) for name, item in value.items()}
        if isinstance(value, dict)
        else value
    )
