"""A payload in the editor: masked, read back, compared (D-07)."""

from __future__ import annotations

import json

import pytest

from jobs.admin.edits import Change, Unreadable, changes, editable, read_edited

ORIGINAL = {
    "note": "no space",
    "api_token": "t0p",
    "nested": [{"password": "hunter2", "size": 1}],
    "long": "x" * 5000,
}


def test_payload__in_the_editor__is_whole_but_for_its_secrets() -> None:
    # D-07
    text = editable(ORIGINAL)

    assert "t0p" not in text and "hunter2" not in text
    assert "x" * 5000 in text


def test_payload__sent_back_as_it_was__is_the_original() -> None:
    # D-07: what is masked is kept.
    assert read_edited(editable(ORIGINAL), ORIGINAL) == ORIGINAL
    assert list(changes(ORIGINAL, read_edited(editable(ORIGINAL), ORIGINAL))) == []


def test_payload__with_a_new_secret__takes_it_and_shows_neither() -> None:
    # D-07
    edited = json.loads(editable(ORIGINAL)) | {"api_token": "n3w"}

    read = read_edited(json.dumps(edited), ORIGINAL)

    assert read["api_token"] == "n3w"
    assert list(changes(ORIGINAL, read)) == [Change("api_token", "********", "********")]


def test_changes__at_any_depth__are_named_by_their_path() -> None:
    # D-07
    after = {"note": "a", "nested": [{"password": "hunter2", "size": 2.0}], "long": None, "new": 1}

    assert list(changes(ORIGINAL | {"note": "b"}, after)) == [
        Change("api_token", "********", ""),
        Change("long", json.dumps("x" * 5000), "null"),
        Change("nested[0].size", "1", "2.0"),
        Change("new", "", "1"),
        Change("note", '"b"', '"a"'),
    ]


def test_changes__between_a_number_and_a_truth__are_seen() -> None:
    # 1 == True in Python, not in JSON.
    assert list(changes({"a": 1}, {"a": True})) == [Change("a", "1", "true")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": }', "line 1, column 7"),
        ("[1]", "JSON object"),
        ('{"a": NaN}', "NaN is no JSON"),
        ('{"a": "\\u0000"}', "cannot be stored"),
        ('{"a": "\\ud800"}', "cannot be stored"),
        ('{"secret": "********"}', "secret is masked"),
        ('{"nested": [{"size": 1}, {"password": "********"}]}', "nested.1.password is masked"),
        (f'{{"a": "{"x" * 100_000}"}}', "at most 100,000 characters"),
    ],
)
def test_text__that_is_no_payload__is_refused_in_words(text: str, told: str) -> None:
    # D-07
    with pytest.raises(Unreadable, match=told.replace("(", r"\(")):
        read_edited(text, ORIGINAL)
