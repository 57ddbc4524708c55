# pyright: basic, reportMissingImports=false
"""Endpoints of Flask and Django that stream: /flask/KIND, /flask-iterator/KIND, /django/KIND, /whole/KIND."""

from __future__ import annotations

import time
from collections.abc import Iterator

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path
from flask import Flask, Response

import otel_feedback as feedback

feedback.configure(service_name="servers")


@feedback.action("generate", agent="writer")
def words(kind: str) -> Iterator[str]:
    for number in range(3):
        yield f"word {number}\n"
    if kind == "fails":
        raise ValueError("no more words")
    while kind == "endless":
        yield "and on\n" * 1_000
        time.sleep(0.01)


flask = Flask("streaming")


@flask.get("/flask/<kind>")
@feedback.action("answer", agent="flask")
def answer_of_flask(kind: str) -> Response:
    return Response(words(kind))


@flask.get("/flask-iterator/<kind>")
@feedback.action("answer", agent="flask-iterator")
def iterator_of_flask(kind: str) -> Response:
    return Response(map(str.encode, words(kind)))


@flask.get("/whole/<kind>")
@feedback.action("answer", agent="whole")
def whole(kind: str) -> Response:
    return Response("word 0\nword 1\nword 2\n")


@feedback.action("answer", agent="django")
def answer_of_django(request: HttpRequest, kind: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(words(kind))


urlpatterns = [path("django/<str:kind>", answer_of_django)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of a test")
django.setup()
of_django, of_flask = get_wsgi_application(), flask.wsgi_app


def application(environ, start_response):
    is_django = environ["PATH_INFO"].startswith("/django/")
    return (of_django if is_django else of_flask)(environ, start_response)
