import pytest
from django.http import HttpResponse, JsonResponse
from django.test import AsyncRequestFactory, Client, RequestFactory

from phoenix_site.common.headers import PAGE_POLICY, ContentPolicyMiddleware

POLICY = "Content-Security-Policy"


def test_a_page_gets_the_policy() -> None:
    answer = ContentPolicyMiddleware(lambda _request: HttpResponse("<p>"))(
        RequestFactory().get("/")
    )

    assert answer.headers[POLICY] == PAGE_POLICY  # type: ignore[union-attr]
    assert "frame-ancestors 'none'" in PAGE_POLICY


def test_a_page_s_own_policy_stays() -> None:
    page = HttpResponse("<p>", headers={POLICY: "default-src 'none'"})

    answer = ContentPolicyMiddleware(lambda _request: page)(RequestFactory().get("/"))

    assert answer.headers[POLICY] == "default-src 'none'"  # type: ignore[union-attr]


def test_data_needs_no_policy() -> None:
    answer = ContentPolicyMiddleware(lambda _request: JsonResponse({}))(RequestFactory().get("/"))

    assert POLICY not in answer.headers  # type: ignore[union-attr]


async def test_it_works_without_a_thread() -> None:
    async def respond(_request: object) -> HttpResponse:
        return HttpResponse("<p>")

    answer = await ContentPolicyMiddleware(respond)(AsyncRequestFactory().get("/"))  # type: ignore[misc]

    assert answer.headers[POLICY] == PAGE_POLICY


@pytest.mark.django_db
def test_the_login_page_leads_to_the_front_page(django_user_model: type) -> None:

    django_user_model.objects.create_user("ops", password="ops-pass-1", is_staff=True)  # type: ignore[attr-defined]

    page = Client().get("/admin/login/")
    answer = Client().post("/admin/login/", {"username": "ops", "password": "ops-pass-1"})

    assert page.headers[POLICY] == PAGE_POLICY
    assert answer.headers["Location"] == "/admin/"
