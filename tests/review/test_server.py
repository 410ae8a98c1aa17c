"""The server over HTTP: access control, requests and errors."""

import contextlib
import json
import re
import socket
import time
import urllib.request

import numpy as np
import pytest
from starlette.testclient import TestClient

from cryopick.review import connections
from cryopick.review.access import HEADERS
from cryopick.review.compare import Comparison
from cryopick.review.server import LARGEST_BODY, Server

TOKEN = "the-token"
HOST = "127.0.0.1:4321"


@pytest.fixture
def stranger(review, folder):
    """A client that does not know the token."""
    return TestClient(Server(review, folder).app(TOKEN), base_url=f"http://{HOST}", raise_server_exceptions=False)


@pytest.fixture
def client(stranger):
    """A client that has opened the page."""
    assert stranger.get(f"/?token={TOKEN}").status_code == 200
    return stranger


def edit(client, body, index=0, **options):
    return client.post(
        f"/api/micrographs/{index}/edits", json={"key": f"key-{id(body)}-{json.dumps(body)[:20]}"} | body, **options
    )


REMOVE = {"edit": {"type": "remove", "picks": [0]}}


@pytest.mark.parametrize(
    "path", ["/", "/compare", "/api/overview", "/api/changes", "/static/review.js", "/tiles/0/plain/0/0/0.jpg"]
)
def test_without_the_token_every_request_is_refused(stranger, path):
    for address in (path, f"{path}?token=", f"{path}?token=the-tokem", f"{path}?token=ä"):
        answer = stranger.get(address)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


def test_the_token_in_the_address_opens_only_pages(stranger):
    assert stranger.get(f"/api/overview?token={TOKEN}").status_code == 403


def test_the_cookie_is_hidden_from_scripts_and_other_sites(stranger):
    cookie = stranger.get(f"/?token={TOKEN}").headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
    assert stranger.get("/api/overview").status_code == 200


def test_foreign_host_names_are_refused(client):
    for host in ("evil.example:4321", "127.0.0.1.evil.example", "", "localhost.evil.example:80", "[::1]:4321"):
        assert client.get("/api/overview", headers={"Host": host}).status_code == 403
    assert client.get("/api/overview", headers={"Host": "127.0.0.1:9999"}).status_code == 200  # the local end of `ssh -L`


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:5555"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_requests_from_other_sites_are_refused_and_change_nothing(client, review, headers):
    assert edit(client, REMOVE, headers=headers).status_code == 403
    assert client.get("/api/overview", headers=headers).status_code == 403
    assert len(review.result(0)) == 5


def test_a_form_on_another_site_cannot_send_an_edit(client, review):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = client.post(
            "/api/micrographs/0/edits", content=json.dumps({"key": "12345678"} | REMOVE), headers={"Content-Type": kind}
        )
        assert answer.status_code == 415
    assert len(review.result(0)) == 5


def test_a_link_with_the_token_works_from_any_site(stranger):
    assert stranger.get(f"/?token={TOKEN}", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_every_response_forbids_frames_and_foreign_scripts(client):
    for path in ("/", "/api/overview", "/nothing", "/static/style.css"):
        assert HEADERS.items() <= {key.title(): value for key, value in client.get(path).headers.items()}.items()


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static//etc/passwd",
        "/tiles/0/plain/0/0/..%2f..%2f0.jpg",
        "/api/micrographs/..%2f..",
        "/static/",
    ],
)
def test_no_path_leads_out_of_the_static_files(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"edit": {"type": "remove", "picks": []}},
        {"edit": {"type": "remove", "picks": [-1]}},
        {"edit": {"type": "step"}},
        {"edit": {"type": "paint", "radius": 0, "points": [[1, 1]]}},
        {"edit": {"type": "paint", "radius": 5, "points": []}},
        {"edit": {"type": "add", "x": "1", "y": 2}},
        {"edit": {"type": "add", "x": 1e999, "y": 2}},
        {"edit": {"type": "add", "x": 1, "y": 2}, "path": "/etc"},
        {},
        {"key": "short"},
    ],
)
def test_invalid_requests_get_an_error_and_change_nothing(client, review, body):
    text = json.dumps({"key": "12345678"} | body).replace("Infinity", "1e999")
    answer = client.post("/api/micrographs/0/edits", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert review.entry_count == 0


def test_an_edit_returns_the_new_state_and_a_conflict_the_present_one(client):
    first = edit(client, REMOVE)
    assert first.status_code == 200
    assert first.json()["picks"]["number"] == [1, 2, 3, 4]
    again = edit(client, {"edit": {"type": "move", "pick": 0, "x": 1, "y": 1}})
    assert again.status_code == 409
    assert again.json()["now"]["picks"] == first.json()["picks"]


def test_a_full_disk_is_reported(client, review, monkeypatch):
    def full(*entries):
        raise OSError(28, "No space left on device", "journal.jsonl")

    monkeypatch.setattr(review._journal, "append", full)
    answer = edit(client, REMOVE)
    assert answer.status_code == 507
    assert "No space left on device" in answer.json()["error"]


def test_a_body_that_is_too_long_is_refused(client):
    content = b'{"key": "' + b"x" * LARGEST_BODY + b'"}'
    assert (
        client.post("/api/micrographs/0/edits", content=content, headers={"Content-Type": "application/json"}).status_code == 413
    )


def test_missing_resources_are_404_and_invalid_values_400(client):
    for path in (
        "/api/micrographs/3",
        "/api/micrographs/x",
        "/tiles/0/plain/0/9/0.jpg",
        "/tiles/7/plain/0/0/0.jpg",
        "/api/comparison",
    ):
        assert client.get(path).status_code == 404
    for query in ("blur=-1", "blur=nan", "blur=1e9", "blur=x"):
        assert client.get(f"/tiles/0/plain/0/0/0.jpg?{query}").status_code == 400
    assert client.post("/api/export", json={"format": "../x"}).status_code == 400
    assert client.post("/api/export", json=["star"]).status_code == 400
    assert client.post("/api/labels", json={}).status_code == 400  # nothing is reviewed


def test_thresholds_of_a_comparison_must_be_numbers(review, folder):
    comparison = Comparison.of(review, [each.picks for each in review.micrographs], title="the same")
    client = TestClient(Server(review, folder, comparison).app(TOKEN), base_url=f"http://{HOST}")
    client.get(f"/?token={TOKEN}")
    for query, before in (("", 5), ("?before=0.6", 2), ("?before=inf", 0), ("?before=-1e9", 5)):
        assert client.get(f"/api/comparison{query}").json()["rows"][0]["before"] == before
    for query in ("before=nan", "after=nan", "before=x", "after="):
        assert client.get(f"/api/comparison?{query}").status_code == 400


def test_a_pick_at_the_threshold_is_kept_by_the_page_too(client):
    least = float(np.float32(0.1))  # 0.10000000149, the lowest score there
    assert edit(client, {"edit": {"type": "reviewed", "value": True, "threshold": least}}).status_code == 200
    state = client.get("/api/micrographs/0").json()
    assert state["threshold"] == min(state["picks"]["score"]) == least


def test_changes_list_the_rows_that_other_pages_must_redraw(client):
    edit(client, REMOVE, index=1)
    changes = client.get("/api/changes?after=0").json()
    assert (changes["entryCount"], list(changes["rows"])) == (1, ["1"])
    assert changes["rows"]["1"]["picks"] == 4
    edit(client, {"edit": {"type": "threshold", "value": 0.6}})
    changes = client.get("/api/changes?after=1").json()
    assert [row["picks"] for row in changes["rows"].values()] == [2, 2, 2]


def test_a_damaged_micrograph_is_reported_and_the_others_are_shown(client, folder):
    (folder / "b.mrc").write_bytes(b"nothing")
    broken = client.get("/api/micrographs/1").json()
    assert "b.mrc" in broken["error"]
    assert client.get("/tiles/1/plain/0/0/0.jpg").status_code == 400
    assert client.get("/tiles/2/plain/0/0/0.jpg").headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize(
    "body",
    [
        b'{"key": "12345678", "edit": {"type": "remove", "picks": [' + b"9" * 5000 + b"]}}",
        b'{"key": "12345678", "revision": ' + b"9" * 5000 + b', "undo": true}',
        b'{"key": "12345678", "edit": ' + b'{"a":' * 50_000,
        b'{"key": "12345678", "other": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"key": "12345678\xff"}',
        b'{"key": "\\ud800\\ud800\\ud800\\ud8"}',
        b"",
    ],
)
@pytest.mark.parametrize("path", ["/api/micrographs/0/edits", "/api/export"])
def test_monstrous_bodies_are_bad_requests(client, review, path, body):
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert review.entry_count == 0


def test_monstrous_numbers_in_addresses_are_bad_requests(client):
    digits = "9" * 5000
    for path in (f"/api/micrographs/{digits}", f"/tiles/{digits}/plain/0/0/0.jpg", f"/api/changes?after={digits}"):
        assert client.get(path).status_code == 400
    for path in (f"/api/micrographs/{digits[:200]}", f"/tiles/0/plain/0/{digits[:100]}/{digits[:100]}.jpg"):
        assert client.get(path).status_code == 404
    half = b'{"format": "\\ud800"}'
    assert client.post("/api/export", content=half, headers={"Content-Type": "application/json"}).status_code == 400


def test_edits_far_outside_are_bad_requests_and_the_micrograph_stays_usable(client):
    assert edit(client, {"edit": {"type": "add", "x": 1e300, "y": 1}}).status_code == 400
    assert edit(client, REMOVE).status_code == 200


def connect(address):
    host, port = re.search(r"//([\d.]+):(\d+)/", address).groups()
    return socket.create_connection((host, int(port)), timeout=20)


def begin(address):
    """Open a connection and begin a request."""
    connection = connect(address)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")  # and never the rest
    return connection


def is_closed(connection):
    try:
        return connection.recv(1000) == b""
    except ConnectionResetError:
        return True


def test_a_connection_that_never_completes_its_request_is_closed(review, folder, serve, monkeypatch):
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.3)
    address = serve(Server(review, folder))
    with begin(address) as slow, begin(address) as dripping:
        start = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - start < 10:
                dripping.sendall(b"X-Drip: 1\r\n")
                time.sleep(0.05)
        assert time.monotonic() - start < 10
        assert is_closed(slow)


def test_many_slow_connections_do_not_keep_others_out(review, folder, serve, monkeypatch):
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 10)
    address = serve(Server(review, folder))
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(begin(address)) for _ in range(30)]
        with urllib.request.urlopen(address, timeout=20) as page:
            assert page.status == 200
        assert all(is_closed(one) for one in slow[:15])


def test_a_body_that_does_not_arrive_is_not_waited_for(review, folder, serve, monkeypatch):
    monkeypatch.setattr("cryopick.review.server.BODY_SECONDS", 0.3)
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 1.0)
    address = serve(Server(review, folder))
    with urllib.request.urlopen(address, timeout=20) as page:
        cookie = page.headers["set-cookie"].split(";")[0]
    place = "POST /api/micrographs/0/edits HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head = f"{place}Content-Type: application/json\r\nContent-Length: 100\r\n"
    for further, status in ((f"Cookie: {cookie}\r\n", b"408"), ("", b"403")):
        with connect(address) as slow:
            slow.sendall(f"{head}{further}\r\n{{".encode())
            received = slow.recv(10_000)
            assert received.startswith(b"HTTP/1.1 " + status)
            while not is_closed(slow):
                pass
