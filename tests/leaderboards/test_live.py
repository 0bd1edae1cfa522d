"""Live updates over real sockets: the acceptance checks 20 to 24 of spec 02, and what else can be
seen from outside."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from leaderboards.models import Leaderboard
from phoenix_site.common.redis import get_redis
from tenants.models import Tenant
from tenants.services import snapshots, tickets
from tests.leaderboards.live_cast import (
    Arena,
    Client,
    Crowd,
    RawClient,
    Server,
    caller_of,
    open_socket,
    refusal,
    wait_until,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def arena(transactional_db: None, tenant_a: Tenant) -> Arena:
    return Arena(tenant_a)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


# --- 20: who may connect -------------------------------------------------------------------------


def test_20_header_subprotocol_and_ticket_open_once_each(arena: Arena, server: Server) -> None:
    token = arena.token()
    with open_socket(server.port, headers={"Authorization": f"Bearer {token}"}) as ws:
        assert Client(ws).hear()["type"] == "snapshot"
        assert ws.subprotocol is None

    with open_socket(server.port, protocols=["phoenix.v1", f"bearer.{token}"]) as ws:
        assert Client(ws).hear()["type"] == "snapshot"
        assert ws.subprotocol == "phoenix.v1"

    ticket = arena.ticket(server.port)
    with open_socket(server.port, query={"ticket": ticket}) as ws:
        assert Client(ws).hear()["type"] == "snapshot"

    status, body = refusal(server.port, query={"ticket": ticket})
    assert (status, body["code"]) == (401, "AUTH_003")
    status, body = refusal(server.port)
    assert (status, body["code"]) == (401, "AUTH_002")


def test_refusals_have_the_usual_body_before_the_upgrade(arena: Arena, server: Server) -> None:
    good = {"Authorization": f"Bearer {arena.token()}"}
    cases: list[tuple[int, str, dict[str, Any]]] = [
        (400, "VAL_001", {"protocols": [f"bearer.{arena.token()}"]}),
        (400, "VAL_001", {"headers": good, "query": {"page": "0"}}),
        (400, "VAL_001", {"headers": good, "query": {"filter": {"type": "some"}}}),
        (400, "VAL_001", {"headers": good, "query": {"window_key": "yesterday"}}),
        (401, "AUTH_001", {"headers": {"Authorization": f"Bearer {arena.token()[:-4]}AAAA"}}),
        (401, "AUTH_002", {"query": {"token": arena.token()}}),
        (401, "AUTH_003", {"headers": {"Authorization": f"Bearer {arena.token(exp=1)}"}}),
        (403, "AUTH_005", {"headers": {"Authorization": f"Bearer {arena.token(scope='none')}"}}),
        (404, "NOT_FOUND", {"headers": good, "board": "other"}),
        (404, "NOT_FOUND", {"headers": good, "query": {"window_key": "2001-01-01"}}),
    ]
    for status, code, how in cases:
        answer, body = refusal(server.port, **how)
        assert (answer, body["code"]) == (status, code), how
        assert set(body) >= {"error", "code", "request_id"}


def test_foreign_tenants_and_origins_are_kept_out(
    arena: Arena, server: Server, tenant_b: Tenant
) -> None:
    stranger = Arena.at(tenant_b)
    headers = {"Authorization": f"Bearer {stranger.token()}"}
    assert refusal(server.port, headers=headers)[0] == 404

    Tenant.objects.filter(pk="tenant-a").update(allowed_origins=["https://game.example"])
    snapshots.forget_now()
    good = {"Authorization": f"Bearer {arena.token()}"}
    status, body = refusal(server.port, headers={**good, "Origin": "https://evil.example"})
    assert (status, body["code"]) == (403, "AUTH_005")
    with open_socket(server.port, headers={**good, "Origin": "https://game.example"}) as ws:
        assert Client(ws).hear()["type"] == "snapshot"


def test_ticket_is_for_its_board(arena: Arena, server: Server) -> None:
    ticket = tickets.create_ticket(caller_of(arena.token()), "other", now=arena.now())

    status, body = refusal(server.port, query={"ticket": ticket.value})

    assert (status, body["code"]) == (403, "AUTH_005")


def test_unknown_socket_path_is_404(server: Server) -> None:
    status, body = refusal(server.port, path="/v1/nothing/ws")

    assert (status, body["code"]) == (404, "NOT_FOUND")


def test_connections_of_a_player_and_of_a_tenant_are_limited(
    arena: Arena, server: Server, settings: object
) -> None:
    settings.PHOENIX_SOCKETS_PER_PLAYER = 2  # type: ignore[attr-defined]
    Tenant.objects.filter(pk="tenant-a").update(max_sockets=3)
    snapshots.forget_now()
    headers = {"Authorization": f"Bearer {arena.token('ana')}"}
    with arena.watch(server.port), arena.watch(server.port), arena.watch(server.port, "ben"):
        status, body = refusal(server.port, headers=headers)
        assert (status, body["code"]) == (429, "RATE_001")
        ben = {"Authorization": f"Bearer {arena.token('ben')}"}
        assert refusal(server.port, headers=ben)[0] == 429
    wait_until(lambda: get_redis().zcard("phoenix:{t:tenant-a}:sockets") == 0)
    with arena.watch(server.port) as client:
        assert client.hear()["type"] == "snapshot"


# --- 21: nothing is lost, nothing is shown twice -------------------------------------------------


def test_21_updates_lead_from_the_snapshot_to_the_standings(arena: Arena, server: Server) -> None:
    arena.play({f"p{n:03}": 1000 - n for n in range(150)})
    with arena.watch(server.port) as client:
        client.hear()
        players = [f"p{(n * 37) % 160:03}" for n in range(1000)]
        for start in range(0, 1000, 20):
            chosen = players[start : start + 20]
            arena.play({player: 500 + start + n for n, player in enumerate(chosen)})
        expected = arena.top(server.port, limit=100)
        client.follow_until(lambda each: each.entries == expected["entries"])

        assert client.state is not None
        assert client.state.epoch == expected["epoch"]
        assert client.state.total_entries == expected["total"]
        assert client.gaps == 0
        updates = [m for m in client.seen if m["type"] in ("update", "snapshot")]
        assert [m["sequence"] for m in updates] == sorted({m["sequence"] for m in updates})


def test_21_updates_while_connecting_are_not_lost(arena: Arena, server: Server) -> None:
    arena.play({f"p{n:02}": 100 for n in range(40)})
    stop = threading.Event()
    rounds: list[int] = []

    def keep_scoring() -> None:
        while not stop.is_set():
            rounds.append(1)
            arena.play({f"p{len(rounds) % 40:02}": 100 + len(rounds)})

    scorer = threading.Thread(target=arena.with_own_connection(keep_scoring))
    scorer.start()
    clients = []
    try:
        for _ in range(8):
            watching = arena.watch(server.port)
            clients.append((watching, watching.__enter__()))
    finally:
        stop.set()
        scorer.join()
    expected = arena.top(server.port, limit=100)["entries"]
    for watching, client in clients:
        client.hear()
        client.follow_until(lambda each: each.entries == expected)
        assert client.gaps == 0
        watching.__exit__(None, None, None)


def test_updates_are_at_most_ten_a_second(arena: Arena, server: Server) -> None:
    arena.play({f"p{n:02}": 1000 - n for n in range(40)})
    with arena.watch(server.port) as client:
        client.hear()
        begun = time.monotonic()
        for n in range(60):
            arena.play({"p20": 500 + n})
        seconds = time.monotonic() - begun
        client.follow_until(lambda each: each.scores["p20"] == 559)
        updates = [m for m in client.seen if m["type"] == "update"]

    assert 2 <= len(updates) <= seconds * 10 + 3


def test_nothing_is_sent_for_a_view_without_change(arena: Arena, server: Server) -> None:
    arena.play({f"p{n:02}": 100 - n for n in range(30)})
    with arena.watch(server.port, page_size=5) as client:
        client.hear()
        arena.play({"p20": 81, "p25": 76})
        assert client.is_silent(seconds=1)


# --- 22: coming back -----------------------------------------------------------------------------


def test_22_resume_sends_what_was_missed(arena: Arena, server: Server) -> None:
    arena.play({f"p{n:02}": 1000 - n for n in range(30)})
    with arena.watch(server.port, "ben") as other:
        other.hear()
        with arena.watch(server.port) as client:
            client.hear()
            arena.play({"p07": 5000})
            client.expect("update")
            seen = client.state
        for n in range(3):
            arena.play({"p08": 6000 + n})
            other.follow_until(lambda each, n=n: each.scores["p08"] == 6000 + n)  # type: ignore[misc]
        assert seen is not None
        with arena.watch(server.port, epoch=seen.epoch, since=seen.sequence) as back:
            back.resume_with(seen)
            assert back.hear() == {
                "type": "resumed",
                "epoch": seen.epoch,
                "sequence": seen.sequence,
            }
            back.follow_until(lambda each: each.entries == other.entries)
            assert (back.snapshots, back.gaps) == (0, 0)
        with arena.watch(server.port, epoch="wrong", since=seen.sequence) as back:
            assert back.hear()["type"] == "snapshot"
        with arena.watch(server.port, epoch=seen.epoch, since=1_000_000) as back:
            assert back.hear()["type"] == "snapshot"


def test_22_resume_on_another_process(arena: Arena, server: Server) -> None:
    arena.play({f"p{n:02}": 1000 - n for n in range(30)})
    with Server() as second, arena.watch(server.port, "ben") as other:
        other.hear()
        with arena.watch(server.port) as client:
            client.hear()
            arena.play({"p07": 5000})
            client.expect("update")
            seen = client.state
        arena.play({"p08": 6000})
        other.follow_until(lambda each: each.scores["p08"] == 6000)
        assert seen is not None
        with arena.watch(second.port, epoch=seen.epoch, since=seen.sequence) as back:
            back.resume_with(seen)
            assert back.hear()["type"] == "resumed"
            back.follow_until(lambda each: each.entries == other.entries)
            arena.play({"p09": 7000})
            back.follow_until(lambda each: each.scores["p09"] == 7000)
            assert (back.snapshots, back.gaps) == (0, 0)


def test_processes_send_the_same_bytes(arena: Arena, server: Server) -> None:
    arena.play({f"p{n:02}": 1000 - n for n in range(30)})
    with (
        Server() as second,
        arena.watch(server.port) as here,
        arena.watch(second.port, "ben") as there,
    ):
        here.hear()
        there.hear()
        for n in range(5):
            arena.play({f"p{n:02}": 2000 + n})
            here.follow_until(lambda each, n=n: each.scores[f"p{n:02}"] == 2000 + n)  # type: ignore[misc]
            there.follow_until(lambda each, n=n: each.scores[f"p{n:02}"] == 2000 + n)  # type: ignore[misc]

    assert [m for m in here.seen if m["type"] == "update"] == [
        m for m in there.seen if m["type"] == "update"
    ]


# --- 23: what clients may ask --------------------------------------------------------------------


def test_23_configure_and_pages(arena: Arena, server: Server) -> None:
    arena.play({f"p{n:03}": 1000 - n for n in range(250)} | {"ana": 900})
    with arena.watch(server.port) as client:
        first = client.hear()
        assert (first["total_entries"], first["total_pages"]) == (251, 3)

        client.say(type="configure", filter={"type": "around_user", "range": 2}, id="c1")
        near = client.hear()
        assert (near["type"], near["id"]) == ("snapshot", "c1")
        names = [entry["user_id"] for entry in near["entries"]]
        assert names == ["p098", "p099", "ana", "p100", "p101"]
        assert near["filter"] == {"type": "around_user", "user_id": "ana", "range": 2}
        assert near["me"] == {"ranked": True, "rank": 101, "score": 900, "total_players": 251}

        client.say(type="request_page", page=2)
        assert client.hear()["code"] == "INVALID_MESSAGE"

        client.say(type="configure", filter={"type": "none"}, page_size=50)
        assert client.hear()["page_size"] == 50
        client.say(type="request_page", page=2, id="p2")
        page = client.hear()
        assert (page["type"], page["page"], page["id"]) == ("page", 2, "p2")
        assert "me" not in page
        assert [entry["rank"] for entry in page["entries"]] == list(range(51, 101))
        arena.play({"p001": 5000})
        assert client.expect("update")["changes"][0]["user_id"] == "p001"

        client.say(
            type="configure", filter={"type": "users", "user_ids": ["p200", "nobody", "p010"]}
        )
        friends = client.expect("snapshot")
        assert [(e["user_id"], e["rank"]) for e in friends["entries"]] == [
            ("p010", 11),
            ("p200", 202),
        ]
        assert friends["total_entries"] == 2

        client.say(type="configure", filter={"type": "top_n", "n": 3})
        best = client.expect("snapshot")
        assert [e["rank"] for e in best["entries"]] == [1, 2, 3]
        # Also where the view does not show the player.
        assert (best["me"]["rank"], best["me"]["score"]) == (101, 900)


def test_23_bad_messages_get_an_error_and_the_connection_stays(
    arena: Arena, server: Server
) -> None:
    cases = [
        ('{"type":"x","id":"7"}', "UNKNOWN_TYPE"),
        ("not json", "INVALID_JSON"),
        ("[]", "INVALID_MESSAGE"),
        ('{"page": 1}', "INVALID_MESSAGE"),
        ('{"type":"configure","page":0}', "INVALID_MESSAGE"),
        ('{"type":"configure","page_size":1001}', "INVALID_MESSAGE"),
        ('{"type":"configure","page":true}', "INVALID_MESSAGE"),
        (
            '{"type":"configure","filter":{"type":"users","user_ids":["\\u0000"]}}',
            "INVALID_MESSAGE",
        ),
        ('{"type":"configure","window_key":"2001-01-01"}', "NOT_FOUND"),
        ('{"type":"authenticate","token":"x.y.z"}', "AUTH_003"),
        (f'{{"type":"authenticate","token":"{arena.token("ben")}"}}', "AUTH_005"),
    ]
    with arena.watch(server.port) as client:
        client.hear()
        for text, code in cases:
            client.ws.send(text)
            answer = client.hear()
            assert (answer["type"], answer["code"]) == ("error", code), text
        assert client.seen[1]["id"] == "7"
        client.say(type="ping", id="still here")
        assert client.hear() == {"type": "pong", "id": "still here"}


def test_23_long_and_binary_messages_end_the_connection(arena: Arena, server: Server) -> None:
    with arena.watch(server.port) as client:
        client.hear()
        client.ws.send("x" * (65 * 1024))
        assert closing_code(client) == 1009
    with arena.watch(server.port) as client:
        client.hear()
        client.ws.send(b"{}")
        assert closing_code(client) == 1003


def closing_code(client: Client) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        client.follow_until(lambda _client: False)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def test_messages_beyond_the_limit_are_refused_then_the_connection(
    arena: Arena, server: Server
) -> None:
    with arena.watch(server.port) as client:
        client.hear()
        for _ in range(30):
            client.say(type="ping")
        answers = [client.hear()["type"] for _ in range(30)]
        assert answers[:20] == ["pong"] * 20
        assert "error" in answers
        with suppress(ConnectionClosed):
            for _ in range(200):
                client.say(type="ping")
        assert closing_code(client) == 4429


def test_twenty_bad_messages_end_the_connection(arena: Arena, server: Server) -> None:
    with arena.watch(server.port) as client:
        client.hear()
        for _ in range(20):
            client.ws.send("{")
        assert closing_code(client) == 4400


def test_a_new_token_prolongs_the_connection(arena: Arena, server: Server) -> None:
    short = arena.token(exp=int(time.time()) + 50)
    with open_socket(server.port, headers={"Authorization": f"Bearer {short}"}) as ws:
        client = Client(ws)
        client.hear()
        assert client.expect("token_expiring")["expires_at"].endswith("Z")
        client.say(type="authenticate", token=arena.token(), id="a")
        answer = client.expect("authenticated")
        assert answer["id"] == "a"
        assert client.is_silent(seconds=1.5)


def test_the_connection_ends_with_its_token(arena: Arena, server: Server) -> None:
    """The leeway of 30 s is nearly over when it connects."""
    late = arena.token(exp=int(time.time()) - 28)
    with open_socket(server.port, headers={"Authorization": f"Bearer {late}"}) as ws:
        assert closing_code(Client(ws)) == 4401


def test_withdrawn_access_ends_the_connection_within_ten_seconds(
    arena: Arena, server: Server
) -> None:
    with arena.watch(server.port) as client:
        client.hear()
        Tenant.objects.filter(pk="tenant-a").update(suspended_at=arena.now())
        assert closing_code_within(client, 10) == 4403


def closing_code_within(client: Client, seconds: float) -> int:
    begun = time.monotonic()
    with pytest.raises(ConnectionClosed) as closed:
        client.hear(seconds=seconds)
    assert time.monotonic() - begun < seconds
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


# --- 24: slow clients ----------------------------------------------------------------------------


def test_24_a_client_that_does_not_read_delays_nobody_and_gets_the_newest_state(
    arena: Arena, server: Server
) -> None:
    players = [f"{n:03}{'x' * 100}" for n in range(100)]
    arena.play({player: 1000 - n for n, player in enumerate(players)})
    stalled = RawClient(server.port, arena.token("stalled"))
    delays: list[float] = []
    with (
        Crowd(server.port, [arena.token(f"u{n}") for n in range(198)]) as crowd,
        arena.watch(server.port) as client,
    ):
        client.hear()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            best = 1000 * (len(delays) + 2)
            begun = time.monotonic()
            arena.play({player: best - n for n, player in enumerate(players[:40])})
            client.follow_until(lambda each, best=best: each.scores[players[0]] == best)  # type: ignore[misc]
            delays.append(time.monotonic() - begun)
        last = client.entries
        wait_until(lambda: crowd.has_all_seen(b'"score":%d,' % best))

    assert len(delays) > 85  # More than the queue and the network hold.
    assert sorted(delays)[int(len(delays) * 0.99)] < 2.0
    with stalled as late:
        messages = late.read_until(lambda message: message.get("entries") == last)
    kinds = [message["type"] for message in messages]
    # What the network had taken by then, then one snapshot instead of all that was missed.
    assert (kinds[0], kinds[-1], kinds.count("snapshot")) == ("snapshot", "snapshot", 2)
    assert len(kinds) < len(delays) / 2


# --- Windows and boards --------------------------------------------------------------------------


def test_current_moves_to_the_next_window(arena: Arena, server: Server) -> None:
    arena.end_window_in(seconds=3)
    arena.play({"ana": 5})
    following = arena.new_window()
    with arena.watch(server.port) as client:
        assert client.hear()["window_key"] == arena.window.key
        changed = client.expect("window_changed")
        assert changed["previous_window_key"] == arena.window.key
        assert changed["window_key"] == following.key
        snapshot = client.hear()
        assert (snapshot["type"], snapshot["window_key"]) == ("snapshot", following.key)
        assert snapshot["entries"] == []
        assert snapshot["me"]["ranked"] is False
        arena.play({"ana": 7}, window=following)
        client.follow_until(lambda each: each.scores == {"ana": 7})


def test_a_fixed_window_tells_when_it_is_closed(arena: Arena, server: Server) -> None:
    arena.play({"ana": 5, "ben": 4, "cleo": 3})
    with arena.watch(server.port, window_key=arena.window.key) as client:
        client.hear()
        arena.play({"ben": 6})
        client.follow_until(lambda each: each.scores["ben"] == 6)
        closed = arena.close_window()
        told = client.expect("window_closed")
        assert (told["window_key"], told["hash"]) == (closed.key, closed.hash)
        assert told["revision"] == 1
    with arena.watch(server.port, window_key=closed.key) as client:
        snapshot = client.hear()
        assert snapshot["window_status"] == "closed"
        assert [e["user_id"] for e in snapshot["entries"]] == ["ben", "ana", "cleo"]


def test_a_board_that_is_switched_off_ends_the_connections(arena: Arena, server: Server) -> None:
    with arena.watch(server.port) as client:
        client.hear()
        Leaderboard.objects.filter(pk=arena.board.pk).update(status="inactive")
        assert closing_code(client) == 4404
    assert refusal(server.port, headers={"Authorization": f"Bearer {arena.token()}"})[0] == 404


# --- The own rank --------------------------------------------------------------------------------


def test_own_rank_is_told_whatever_the_view_and_at_most_once_a_second(
    arena: Arena, server: Server
) -> None:
    arena.play({f"p{n:02}": 100 - n for n in range(30)} | {"ana": 1})
    with arena.watch(server.port, page_size=5) as client:
        assert client.hear()["me"]["rank"] == 31
        begun = time.monotonic()
        for n in range(25):
            arena.play({"ana": 50 + n})
            time.sleep(0.05)
        client.follow_until(lambda each: each.seen[-1].get("score") == 74)
        seconds = time.monotonic() - begun

    told = [m for m in client.seen if m["type"] == "my_rank"]
    assert told[0]["previous_rank"] == 31
    assert told[-1] | {"timestamp": ""} == {
        "type": "my_rank",
        "ranked": True,
        "rank": 28,
        "previous_rank": told[-2]["rank"] if len(told) > 1 else 31,
        "score": 74,
        "total_players": 31,
        "timestamp": "",
    }
    assert len(told) <= seconds + 2


def test_a_board_made_shorter_is_shown_shorter(arena: Arena, server: Server) -> None:
    """Bounds take effect at once, without any event: the sequence stays, the view does not."""
    arena.play({f"p{n:02}": 100 - n for n in range(30)})
    with arena.watch(server.port) as client:
        first = client.hear()
        arena.board.config["ranking"]["size"] = 20
        arena.board.save()
        client.follow_until(lambda each: len(each.scores) == 20)
        assert client.state is not None
        assert (client.state.sequence, client.state.total_entries) == (first["sequence"], 20)
        with arena.watch(server.port, "ben", **client.place) as back:
            assert back.hear()["type"] == "snapshot"


# --- Losing things -------------------------------------------------------------------------------


def test_a_flushed_redis_gives_a_snapshot_of_a_new_epoch(arena: Arena, server: Server) -> None:
    arena.play({"ana": 5, "ben": 4, "cleo": 3})
    with arena.watch(server.port) as client:
        first = client.hear()
        get_redis().flushdb()
        arena.play({"ben": 6})
        client.follow_until(lambda each: each.scores["ben"] == 6)
        assert client.state is not None
        assert client.state.epoch != first["epoch"]
        assert client.gaps == 0


def test_a_lost_message_costs_only_time(arena: Arena, server: Server) -> None:
    arena.play({"ana": 5, "ben": 4, "cleo": 3})
    with arena.watch(server.port) as client:
        client.hear()
        arena.play({"ben": 6}, tells=False)
        client.follow_until(lambda each: each.scores["ben"] == 6, seconds=4)


def test_it_works_on_a_server_that_knows_only_asgi(arena: Arena) -> None:
    arena.play({f"p{n:02}": 1000 - n for n in range(30)})
    with Server(ws="websockets-sansio") as plain, arena.watch(plain.port) as client:
        client.hear()
        for n in range(5):
            arena.play({"p05": 2000 + n})
        client.follow_until(lambda each: each.scores["p05"] == 2004)
        assert client.gaps == 0
        client.say(type="configure", page_size=5)
        assert client.expect("snapshot")["page_size"] == 5
        client.ws.send("x" * (65 * 1024))
        assert closing_code(client) == 1009
        assert refusal(plain.port)[0] == 401


def test_the_server_going_down_says_1001(arena: Arena) -> None:
    with Server() as server, arena.watch(server.port) as client:
        client.hear()
        threading.Thread(target=server.stop).start()
        assert closing_code(client) == 1001


def test_logs_show_no_ticket_and_no_token(
    arena: Arena, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    ticket = arena.ticket(server.port)
    token = arena.token()
    with caplog.at_level("DEBUG"):
        with open_socket(server.port, query={"ticket": ticket}) as ws:
            Client(ws).hear()
        with open_socket(server.port, protocols=["phoenix.v1", f"bearer.{token}"]) as ws:
            Client(ws).hear()
        refusal(server.port, query={"ticket": ticket})
    server_log = "\n".join(
        json.dumps(record.getMessage())
        for record in caplog.records
        if not record.name.startswith("websockets.client")
    )
    assert ticket not in server_log
    assert token not in server_log
