"""The page of a session and its pieces: windows, folds, branches, copies, places, growth, hostile input."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client

from sparkweb.accounts.models import User
from tests.support.claude_code import Transcript, copied
from tests.support.page_transcripts import png_text, transcripts_seed
from transcripts_app.archive.models import Record, Session
from transcripts_app.importing.ledger import Count
from transcripts_app.thread import WINDOW_LINES

Read = Callable[[], Count]
Browser = Callable[..., Client]


@pytest.fixture
def reader(client_of: Browser, admin: User) -> Client:
    return client_of(admin)


@pytest.fixture
def keys(archive: Path, projects: Path) -> dict[str, str]:
    return transcripts_seed(projects)


def where(rest: str = "", session: Session | None = None) -> str:
    return f"/transcripts/sessions/{(session or Session.objects.get()).key}/{rest}"


def drawn(text: str) -> list[int]:
    return [int(number) for number in re.findall(r'<article class="tr[^"]*" id="r(\d+)"', text)]


def told(client: Client, rest: str = "", session: Session | None = None) -> str:
    answer = client.get(where(rest, session))
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def test_windows_hold_every_message_once(read: Read, projects: Path, reader: Client) -> None:
    one = Transcript(projects)
    for number in range(2 * WINDOW_LINES + 10):
        one.prompt(f"Prompt {number}")
    one.write()
    read()
    seen = [number for window in range(3) for number in drawn(told(reader, f"part/?window={window}"))]
    assert seen == list(Record.objects.order_by("line").values_list("pk", flat=True))
    assert reader.get(where("part/?window=3")).status_code == 404
    first = told(reader)
    assert 'data-windows="3"' in first
    assert drawn(first) == seen[:WINDOW_LINES]
    assert drawn(told(reader, "?end=1")) == seen[2 * WINDOW_LINES :]


def test_a_call_is_drawn_with_its_result_and_the_result_not_again(
    read: Read, projects: Path, reader: Client
) -> None:
    one = Transcript(projects)
    one.prompt("Count")
    call = one.call("Bash", command="wc -l basket.py")
    one.result(call, "12 basket.py")
    one.answer("Twelve")
    one.write()
    read()
    text = told(reader)
    assert text.count("12 basket.py") == 1
    assert len(drawn(text)) == 3


def test_a_result_in_another_window_stands_with_its_call(read: Read, projects: Path, reader: Client) -> None:
    one = Transcript(projects)
    call = one.call("Bash", command="sleep 9")
    for number in range(WINDOW_LINES):
        one.prompt(f"Meanwhile {number}")
    one.result(call, "slept well")
    one.write()
    read()
    assert "slept well" in told(reader, "part/?window=0")
    assert "slept well" not in told(reader, "part/?window=1")


def test_what_is_new_comes_with_calls_that_got_their_result(
    read: Read, projects: Path, reader: Client
) -> None:
    one = Transcript(projects)
    call = one.call("Bash", command="sleep 9")
    for number in range(WINDOW_LINES):
        one.prompt(f"Meanwhile {number}")
    one.write()
    read()
    known = WINDOW_LINES + 1
    assert reader.get(where(f"part/?window=1&since={known}")).status_code == 204
    one.result(call, "slept well")
    one.prompt("And now?")
    one.write()
    read()
    text = told(reader, f"part/?window=1&since={known}")
    assert f'data-lines="{known + 2}"' in text
    window, updates = text.split("data-updates")
    assert "And now?" in window
    assert "slept well" not in window
    assert "slept well" in updates


def test_notes_fold_away_and_come_on_demand(read: Read, projects: Path, reader: Client) -> None:
    one = Transcript(projects)
    one.prompt("Look")
    one.prompt("<system-reminder>Mind the gap</system-reminder>", isMeta=True)
    one.add("progress", toolUseID="x", data={"type": "bash_progress", "output": "half way"})
    one.bare(type="atis-latch", value="odd state")
    one.add("mystery", riddle="of a later version")
    one.answer("I did.")
    one.write()
    read()
    text = told(reader)
    assert "Mind the gap" not in text
    words = "1 note to the model, 1 line of progress, 1 state, 1 record of an unknown type"
    assert words in text
    link = re.search(r'data-load="([^"]*notes=[^"]*)"', text)
    assert link is not None
    folded = reader.get(link[1].replace("&amp;", "&")).content.decode()
    for words in ("Mind the gap", "half way", "odd state", "of a later version"):
        assert words in folded, words
    assert "I did." not in folded


def test_the_way_to_the_end_shows_and_other_branches_fold(keys: dict[str, str], reader: Client) -> None:
    session = Session.objects.get(key=keys["rewound"])
    text = told(reader, "", session)
    assert "Shorter, please" in text
    assert "Longer, please" not in text
    assert "2 messages left by rewinding" in text
    link = re.search(r'data-load="([^"]*asides=1[^"]*)"', text)
    assert link is not None
    assert "Longer, please" in reader.get(link[1].replace("&amp;", "&")).content.decode()
    assert "Longer, please" in told(reader, "?asides=1", session)
    assert "2 messages left by rewinding" in told(reader, "outline/", session)
    aside = Record.objects.get(session=session, preview="Longer, please")
    answer = reader.get(where(f"records/{aside.pk}/", session), follow=True)
    assert aside.pk in drawn(answer.content.decode())


def test_copies_of_a_fork_are_marked_and_lead_to_their_origin(keys: dict[str, str], reader: Client) -> None:
    fork, origin = (Session.objects.get(key=keys[name]) for name in ("fork", "tools"))
    text = told(reader, "", fork)
    first = Record.objects.filter(session=fork, copy_of__isnull=False).order_by("line").first()
    assert first is not None
    assert where(f"records/{first.copy_of}/", origin) in text
    assert (
        text.count("data-copy-of")
        == Record.objects.filter(session=fork, copy_of__isnull=False, pk__in=drawn(text)).count()
    )
    assert "3 passed" in text  # a copied call is drawn with its result too
    assert "data-copy-of" not in told(reader, "", origin)


def test_sub_agents_stand_below_their_call_nested_too(keys: dict[str, str], reader: Client) -> None:
    session = Session.objects.get(key=keys["agents"])
    outer, inner = (session.files.get(agent_id=name) for name in ("a1b2c3d4", "e5f6a7b8"))
    text = told(reader, "", session)
    assert f"agents/{outer.pk}/" in text
    assert f"agents/{inner.pk}/" not in text
    below = told(reader, f"agents/{outer.pk}/", session)
    assert "header.py:4" in below
    assert f"agents/{inner.pk}/" in below
    assert "Yes, in line 88." in told(reader, f"agents/{inner.pk}/", session)
    answer = inner.records.order_by("-line").first()
    assert answer is not None
    opened = reader.get(where(f"records/{answer.pk}/", session), follow=True)
    assert f'data-agent="{outer.pk}"' in opened.content.decode()
    assert f"{inner.pk}:0" in opened.content.decode()


def test_a_session_of_sub_agents_alone_is_read_as_they_are(keys: dict[str, str], reader: Client) -> None:
    assert "I am ready." in told(reader, "", Session.objects.get(key=keys["warmup"]))


def test_permalinks_by_number_and_by_uuid(read: Read, projects: Path, reader: Client) -> None:
    one = Transcript(projects)
    for number in range(3 * WINDOW_LINES):
        one.prompt(f"Prompt {number}")
    one.write()
    read()
    record = Record.objects.get(line=2 * WINDOW_LINES + 5)
    for name in (record.pk, one.records[record.line - 1]["uuid"]):
        answer = reader.get(where(f"records/{name}/"))
        assert answer["Location"].endswith(f"?at={record.pk}#r{record.pk}")
    assert record.pk in drawn(told(reader, f"?at={record.pk}"))
    for bad in ("0", "999999", "nothing", "%00", "9" * 15, "9" * 40):
        assert reader.get(where(f"records/{bad}/")).status_code == 404, bad
        assert reader.get(where(f"records/{bad}/raw/")).status_code == 404, bad


def test_jumps_pass_over_windows(keys: dict[str, str], reader: Client) -> None:
    session = Session.objects.get(key=keys["long"])
    first = Record.objects.filter(session=session).order_by("line").first()
    assert first is not None
    errors, at = list[int](), first.pk
    while (answer := reader.get(where(f"jump/?kind=error&from={at}", session))).status_code == 200:
        at = answer.json()["record"]
        errors.append(at)
        assert at in drawn(told(reader, f"part/?window={answer.json()['window']}", session))
    assert len(errors) == session.tool_errors == 6
    back = reader.get(where(f"jump/?kind=error&from={errors[-1]}&back=1", session)).json()
    assert back["record"] == errors[-2]
    changed = reader.get(where(f"jump/?kind=file&from={first.pk}", session)).json()
    assert "module_0.py" in told(reader, f"records/{changed['record']}/whole/", session)
    assert reader.get(where(f"jump/?kind=error&from={first.pk}&back=1", session)).status_code == 204
    for bad in ("kind=x&from=1", "kind=error", "kind=error&from=x"):
        assert reader.get(where(f"jump/?{bad}", session)).status_code == 404


def test_the_outline_has_prompts_errors_files_and_things_to_do(keys: dict[str, str], reader: Client) -> None:
    session = Session.objects.get(key=keys["tools"])
    outline = told(reader, "outline/", session)
    assert "Good. Commit it." in outline
    assert "1 failed" in outline
    assert "Good. Commit it." not in told(reader, "outline/?tab=error", session)
    assert told(reader, "outline/?text=commit", session).count("outline-item") == 1
    assert "basket.py" in told(reader, "outline/?tab=files", session)
    todo = told(reader, "outline/?tab=todo", session)
    assert 'data-status="in_progress"' in todo
    assert "Count pieces" in todo
    assert "Search the shop" in told(reader, "outline/?tab=agents", Session.objects.get(key=keys["agents"]))
    assert "Nothing in the outline says that" in told(reader, "outline/?text=zzz%00", session)


def test_the_outline_masks_what_the_page_masks(read: Read, projects: Path, reader: Client) -> None:
    key = "sk-ant-api03-" + "Ab3dE6gH" * 11 + "xyzAA"
    one = Transcript(projects)
    one.prompt(f"Use {key} for it")
    one.result(one.call("Write", file_path=f"/home/ada/{key}.txt", content="x"), f"no {key}", error=True)
    one.write()
    read()
    for rest in ("", "outline/", "outline/?tab=files", "outline/?tab=error"):
        text = told(reader, rest)
        assert key not in text, rest


def test_the_raw_line_is_shown_and_given_as_it_was(read: Read, projects: Path, reader: Client) -> None:
    one = Transcript(projects)
    one.prompt("Größe\u2028und <b>mehr</b>")
    one.write()
    read()
    record = Record.objects.get()
    text = told(reader, f"records/{record.pk}/raw/")
    assert "&lt;b&gt;mehr" in text
    answer = reader.get(where(f"records/{record.pk}/raw/?download=1"))
    assert answer.content == one.path.read_bytes().rstrip(b"\n")
    assert answer["Content-Disposition"].startswith("attachment")


def test_long_lines_and_results_come_on_demand(
    read: Read, projects: Path, reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transcripts_app import reading

    monkeypatch.setattr(reading, "LINE_MOST", 4000)
    monkeypatch.setattr(reading, "RESULT_MOST", 2000)
    one = Transcript(projects)
    one.prompt("Look")
    one.result(one.call("Bash", command="cat big"), "x" * 3000 + "the last of it")
    one.answer("y" * 5000 + "and so on")
    one.write()
    read()
    text = told(reader)
    assert "the last of it" not in text
    assert "and so on" not in text
    assert "too long to come with the page" in text
    call, answer = drawn(text)[1:3]
    assert "the last of it" in told(reader, f"records/{call}/whole/")
    assert "and so on" in told(reader, f"records/{answer}/whole/")


def test_pictures_come_from_here_and_are_what_they_are(keys: dict[str, str], reader: Client) -> None:
    session = Session.objects.get(key=keys["images"])
    text = told(reader, "", session)
    places = re.findall(r'<img src="([^"]*/media/[^"]*)"', text)
    assert len(places) == 2
    for place in places:
        answer = reader.get(place)
        assert answer["Content-Type"] == "image/png"
        assert answer.content.startswith(b"\x89PNG")
        assert "default-src 'none'" in answer["Content-Security-Policy"]
    base = places[0].rsplit("/", 2)[0]
    above = base.rsplit("/", 1)[0]
    for bad in (f"{base}/99/", f"{above}/zz/0/", f"{above}/{'0' * 32}/0/"):
        assert reader.get(bad).status_code == 404


def test_svg_is_never_served(read: Read, projects: Path, reader: Client) -> None:
    import base64

    data = base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>").decode()
    one = Transcript(projects)
    source = {"type": "base64", "media_type": "image/svg+xml", "data": data}
    one.prompt([{"type": "image", "source": source}, {"type": "image", "source": source | {"data": "!!"}}])
    one.write()
    read()
    uid = one.records[0]["uuid"].replace("-", "")
    assert reader.get(where(f"media/{uid}/0/")).status_code == 404
    assert reader.get(where(f"media/{uid}/1/")).status_code == 404
    assert png_text()


def test_nothing_of_a_transcript_runs(read: Read, projects: Path, reader: Client) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)><style>*{display:none}</style>"
    one = Transcript(projects, cwd=f"/home/{evil}")
    one.branch = one.version = one.model = evil
    one.prompt(evil)
    one.answer(evil, {"type": "thinking", "thinking": evil}, {"type": evil})
    one.result(one.call(evil, **{evil: evil}), evil, error=True)
    one.add("system", subtype=evil, content=evil)
    one.add(evil, content=evil)
    one.bare(type="custom-title", customTitle=evil, sessionId=one.session_id)
    one.write()
    read()
    session = Session.objects.get()
    raw = where(f"records/{drawn(told(reader))[0]}/raw/")
    pages = [where(), where("outline/"), raw, "/transcripts/", "/transcripts/projects/",
             f"/transcripts/projects/{session.project.key}/",]  # fmt: skip
    for address in pages:
        text = reader.get(address).content.decode()
        assert "<script>alert" not in text, address
        assert "<img src=x" not in text, address
        assert "<style>*" not in text, address


def test_a_copied_session_in_another_folder_has_its_own_page(
    read: Read, projects: Path, reader: Client
) -> None:
    one = Transcript(projects)
    one.prompt("Hello")
    one.write()
    other = Transcript(projects, cwd="/home/ada/elsewhere", session_id=one.session_id)
    other.records = copied(one.records, one.session_id)
    other.write()
    read()
    assert Session.objects.count() == 2
    for session in Session.objects.all():
        assert "Hello" in told(reader, "", session)


def test_every_piece_is_hidden_from_strangers(
    keys: dict[str, str], client_of: Browser, viewer: User, admin: User
) -> None:
    session = Session.objects.get(key=keys["images"])
    record = Record.objects.filter(session=session).order_by("line").first()
    agents = Session.objects.get(key=keys["agents"])
    file = agents.files.filter(role="agent").first()
    assert record is not None
    assert file is not None
    uid = bytes(record.uid or b"").hex()
    places = ["", "part/", "outline/", f"jump/?kind=prompt&from={record.pk}", f"records/{record.pk}/",
              f"records/{record.pk}/raw/", f"records/{record.pk}/whole/", f"media/{uid}/0/"]  # fmt: skip
    addresses = [where(rest, session) for rest in places] + [where(f"agents/{file.pk}/", agents)]
    for address in addresses:
        assert client_of(viewer).get(address).status_code == 404, address
        assert client_of(admin).get(address).status_code in (200, 204, 302), address
    # Nor through a session that one may see: records belong to theirs.
    other = Session.objects.get(key=keys["tools"])
    assert client_of(admin).get(where(f"records/{record.pk}/raw/", other)).status_code == 404
    assert client_of(admin).get(where(f"agents/{file.pk}/", other)).status_code == 404
