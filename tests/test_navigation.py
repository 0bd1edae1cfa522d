"""The admin's sidebar and tabs: what a person may see, and nothing that leads nowhere."""

from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client, RequestFactory
from django.urls import resolve

from phoenix_site import navigation
from tests.staff import allow, signed_in, text_of

pytestmark = pytest.mark.django_db


def request_of(user: Any, path: str = "/admin/") -> Any:
    request = RequestFactory().get(path)
    request.user = user
    return request


def titles(user: Any) -> list[str]:
    return [
        item["title"] for group in navigation.sidebar(request_of(user)) for item in group["items"]
    ]


def test_a_superuser_finds_every_page(django_user_model: Any) -> None:
    boss = django_user_model.objects.create_superuser("boss")

    named = [page.title for _, pages in navigation.GROUPS for page in pages]

    assert titles(boss) == named
    for group in navigation.sidebar(request_of(boss)):
        for item in group["items"]:
            assert resolve(item["link"])


def test_staff_find_what_they_may_see(ops: AbstractUser) -> None:
    allow(ops, "view_window", "view_event")

    assert titles(ops) == ["Overview", "Windows", "Event log"]


def test_the_page_that_is_open_is_marked(ops: AbstractUser) -> None:
    allow(ops, "view_window", "view_leaderboard")

    marked = [
        item["title"]
        for group in navigation.sidebar(request_of(ops, "/admin/leaderboards/window/1/standings/"))
        for item in group["items"]
        if item["active"](None)
    ]

    assert marked == ["Windows"]


def test_tabs_keep_what_else_is_asked_of_a_list(ops: AbstractUser) -> None:
    path = "/admin/leaderboards/window/?q=xp&state__exact=open&p=3"

    tabs = navigation.tabs(request_of(ops, path))
    windows = next(each for each in tabs if each["models"] == ["leaderboards.window"])
    boards = next(each for each in tabs if each["models"] == ["leaderboards.leaderboard"])

    assert [item["title"] for item in windows["items"] if item["active"](None)] == ["Open"]
    assert [item["link"] for item in windows["items"]][:2] == [
        "/admin/leaderboards/window/?q=xp",
        "/admin/leaderboards/window/?q=xp&state__exact=open",
    ]
    assert [item["link"] for item in boards["items"]][:2] == [
        "/admin/leaderboards/leaderboard/",
        "/admin/leaderboards/leaderboard/?status__exact=active",
    ]


def test_tabs_stand_above_lists(ops: AbstractUser) -> None:
    allow(ops, "view_window", "view_leaderboard")
    client = signed_in(ops)

    for page in ("window", "leaderboard"):
        shown = text_of(client.get(f"/admin/leaderboards/{page}/"))
        assert "All " in shown
        assert (
            client.get(f"/admin/leaderboards/{page}/?state__exact=open", follow=True).status_code
            == 200
        )


@pytest.mark.parametrize(("environment", "label"), [("prod", "Production"), ("sandbox", "Sandbox")])
def test_the_header_says_where_one_is(settings: Any, environment: str, label: str) -> None:
    settings.PHOENIX_ENV = environment

    assert navigation.environment(RequestFactory().get("/"))[0] == label


def test_a_page_that_is_not_there_is_left_out(
    ops: AbstractUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = navigation.Page("Missing", "help", "admin:nothing_of_the_kind")
    monkeypatch.setattr(navigation, "GROUPS", (("", (missing,)),))

    assert navigation.sidebar(request_of(ops)) == []
    assert Client().get("/admin/login/").status_code == 200
