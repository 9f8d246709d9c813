"""Parser, splitter and translator: from documents to messages and back."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from bus import Blob, Group, Message, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable

    from bus.testing.steps import StepBench

FILE = b'{"message_id": "M-1"}\n{"n": 1, "id": "A"}\n!!!\n{"n": 2.50, "id": ""}\n'


def rejected(run: Callable[[], Any]) -> Rejected:
    with pytest.raises(Rejected) as caught:
        run()
    return caught.value


# ---------------------------------------------------------------- parser


@pytest.mark.parametrize(
    "written",
    [
        {"parse": {"lines": {}}},
        {"parse": "lines"},
        {"parse": {"format": "lines"}},
        {"parse": {"format": {"lines": {}}, "name": "reader"}},
        {"parse": {"lines": {"most": "7"}, "name": "reader"}},
    ],
)
def test_all_ways_to_name_a_format(bench: StepBench, written: dict[str, Any]) -> None:
    spec = bench.spec(written)

    assert spec.format.key == "lines"
    assert spec.format.most == (7 if "most" in str(written) else 1000)
    assert spec.name in ("", "reader")


@pytest.mark.parametrize("written", [{"parse": {}}, {"parse": {"lines": {}, "plain": {}}}, {"parse": {"name": "x"}}])
def test_a_parser_has_exactly_one_format(bench: StepBench, written: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        bench.spec(written)


def test_a_format_that_nobody_knows_is_named_with_its_place(bench: StepBench) -> None:
    with pytest.raises(ValidationError) as caught:
        bench.spec({"parse": {"linse": {}}})
    (error,) = caught.value.errors()
    assert (error["type"], error["ctx"]["key"]) == ("CFG102", "linse")


@pytest.mark.parametrize("as_blob", [True, False])
def test_parse_makes_the_whole_document_the_body(bench: StepBench, *, as_blob: bool) -> None:
    content = b'{"message_id": "M-1"}\n{"n": 1}\n'
    body = bench.blobs.put(content) if as_blob else content

    (message,) = bench.run(bench.build({"parse": "lines"}), bench.message(body, content_type="text/plain"))

    assert isinstance(message, Message)
    assert message.body == {"head": {"message_id": "M-1"}, "records": [{"n": 1}]}
    assert message.headers.content_type == "application/json"
    assert all(stream.closed for stream in bench.blobs.open_streams)


@pytest.mark.parametrize("as_blob", [True, False])
def test_a_document_too_big_for_one_body_is_refused_before_it_is_read(bench: StepBench, *, as_blob: bool) -> None:
    body: Any = bench.blobs.put(FILE) if as_blob else FILE
    step = bench.build({"parse": {"lines": {}, "whole_up_to": "10B"}})

    assert rejected(lambda: bench.run(step, body)).code == "VAL506"


def test_parse_before_a_split_reads_only_the_head(bench: StepBench) -> None:
    body = bench.blobs.put(FILE)
    step = bench.spec({"parse": "lines"}).build_head(bench)

    (message,) = step(bench.message(body, properties={"mine": 1}))

    assert message.body == body
    assert message.properties == {"mine": 1, "document": {"message_id": "M-1"}}
    assert all(stream.closed for stream in bench.blobs.open_streams)


@pytest.mark.parametrize("build", ["build", "build_head"])
@pytest.mark.parametrize("body", [{"a": 1}, None, Group(1, 1)])
def test_parse_of_plain_data_is_refused(bench: StepBench, build: str, body: Any) -> None:
    step = getattr(bench.spec({"parse": "lines"}), build)(bench)

    assert rejected(lambda: list(step(bench.message(body)))).code == "VAL503"


@pytest.mark.parametrize("build", ["build", "build_head"])
def test_a_file_of_another_format_is_refused_by_the_format(bench: StepBench, build: str) -> None:
    step = getattr(bench.spec({"parse": "lines"}), build)(bench)

    assert rejected(lambda: list(step(bench.message(b"")))).code == "VAL999"


# ---------------------------------------------------------------- splitter


def split(bench: StepBench, written: Any, *, parsed: bool) -> Any:
    return bench.spec({"split": written}).build_split(bench, bench.spec({"parse": "lines"}).format if parsed else None)


@pytest.mark.parametrize("as_blob", [True, False])
def test_a_document_is_split_into_its_records_bad_ones_with_place(bench: StepBench, *, as_blob: bool) -> None:
    body: Any = bench.blobs.put(FILE) if as_blob else FILE

    first, bad, last = split(bench, {"each": "rows"}, parsed=True).expand(bench.message(body))

    assert (first.body, first.place) == ({"n": 1, "id": "A"}, "rows line 2")
    assert (bad.error.code, bad.raw, bad.place) == ("VAL997", b"!!!\n", "rows line 3")
    assert last.body == {"n": Decimal("2.50"), "id": ""}
    assert all(stream.closed for stream in bench.blobs.open_streams)


def test_without_each_the_format_knows_its_records(bench: StepBench) -> None:
    parts = list(split(bench, {}, parsed=True).expand(bench.message(FILE)))

    assert parts[0].place == "records line 2"


def test_parts_are_streamed_not_collected(bench: StepBench) -> None:
    parts = split(bench, "rows", parsed=True).expand(bench.message(bench.blobs.put(FILE)))

    next(parts)

    assert [stream.closed for stream in bench.blobs.open_streams] == [False]
    parts.close()
    assert [stream.closed for stream in bench.blobs.open_streams] == [True]


@pytest.mark.parametrize("parsed", [True, False])
def test_a_list_in_the_body_is_split_wherever_it_came_from(bench: StepBench, *, parsed: bool) -> None:
    parts = list(split(bench, "lines", parsed=parsed).expand(bench.message({"lines": [{"a": 1}, "b"]})))

    assert [(part.body, part.place) for part in parts] == [({"a": 1}, "lines[0]"), ("b", "lines[1]")]


def test_the_body_itself_may_be_the_list(bench: StepBench) -> None:
    assert [part.body for part in split(bench, {}, parsed=False).expand(bench.message([1, 2]))] == [1, 2]


def test_an_empty_list_is_in_order_a_missing_one_is_not(bench: StepBench) -> None:
    splitter = split(bench, "lines", parsed=False)

    assert list(splitter.expand(bench.message({"lines": []}))) == []
    assert rejected(lambda: list(splitter.expand(bench.message({})))).code == "VAL507"
    assert rejected(lambda: list(splitter.expand(bench.message({"lines": {"a": 1}})))).code == "VAL507"


@pytest.mark.parametrize("body", [b"raw", Group(1, 2)])
def test_bytes_without_parse_and_groups_are_refused(bench: StepBench, body: Any) -> None:
    assert rejected(lambda: list(split(bench, {}, parsed=False).expand(bench.message(body)))).code == "VAL508"


def test_keys_of_parts_are_texts_and_never_stop_a_payment(bench: StepBench) -> None:
    keys = {"payment": "id", "amount": "n", "none": "missing", "bad": "abs(id)"}
    splitter = split(bench, {"each": "rows", "keys": keys}, parsed=True)

    class Broken:
        def __call__(self, _body: Any) -> Any:
            raise Rejected("VAL996", "cannot")

    broken = type(splitter)(
        splitter.form, splitter.each, splitter.items, (*splitter.keys[:3], ("bad", Broken())), splitter.blobs
    )

    assert broken.child_keys({"id": "A", "n": Decimal("2.50")}) == (("payment", "A"), ("amount", "2.5"))
    assert broken.child_keys({"id": "", "n": Decimal(0)}) == (("amount", "0"),)
    assert broken.child_keys("text") == ()


# ---------------------------------------------------------------- translator


def test_a_mapping_makes_another_body(make_bench: Callable[..., StepBench]) -> None:
    bench = make_bench(mappings={"up": lambda body: {"N": body["n"]}})
    message = bench.message({"n": 1}, content_type="text/csv")

    (result,) = bench.run(bench.build({"translate": "up"}), message)

    assert isinstance(result, Message)
    assert result.body == {"N": 1}
    assert result.headers.id == message.headers.id
    assert result.headers.content_type == "application/json"


@pytest.mark.parametrize(("body", "code"), [(b"raw", "VAL504"), (Blob("0" * 64, 1), "VAL504"), (Group(1, 1), "VAL505")])
def test_a_mapping_takes_one_plain_message(make_bench: Callable[..., StepBench], body: Any, code: str) -> None:
    bench = make_bench(mappings={"up": lambda body: body})

    assert rejected(lambda: bench.run(bench.build({"translate": {"mapping": "up"}}), body)).code == code


def test_a_group_becomes_one_document_in_the_blob_store(bench: StepBench) -> None:
    message = bench.group([{"n": 2}, {"n": 1}]).with_properties(run="R")

    (result,) = bench.run(bench.build({"translate": {"to": "lines", "profile": "sepa"}}), message)

    assert isinstance(result, Message)
    assert isinstance(result.body, Blob)
    assert result.headers.content_type == "text/x-lines"
    head, *rows = bench.blobs.stored[result.body.sha256].splitlines()
    expected = {"id": message.headers.id, "at": message.headers.created_at, "profile": "sepa", "run": "R"}
    assert json.loads(head) == expected
    assert [json.loads(row) for row in rows] == [{"n": 2}, {"n": 1}]
    again = bench.run(bench.build({"translate": {"to": "lines", "profile": "sepa"}}), message)
    assert again == [result], "a re-run writes the same bytes"


def test_members_are_read_lazily_and_a_refused_document_leaves_no_blob(bench: StepBench) -> None:
    message = bench.group([{"n": 1}, {"n": 2}, {"n": 3}])

    error = rejected(lambda: bench.run(bench.build({"translate": {"to": {"lines": {"most": "2"}}}}), message))

    assert error.code == "VAL998"
    assert bench.blobs.stored == {}


def test_a_list_is_written_item_by_item(bench: StepBench) -> None:
    (result,) = bench.run(bench.build({"translate": {"to": "lines"}}), [{"n": 1}, {"n": 2}])

    assert isinstance(result, Message)
    assert len(bench.blobs.stored[result.body.sha256].splitlines()) == 3


def test_one_small_object_travels_in_the_message_a_big_one_as_blob(bench: StepBench) -> None:
    step = bench.build({"translate": {"to": "lines"}})

    (small,) = bench.run(step, {"n": 1})
    (big,) = bench.run(step, {"n": "x" * 70_000})

    assert isinstance(small, Message)
    assert isinstance(big, Message)
    assert small.body.splitlines()[1] == b'{"n": 1}'
    assert isinstance(big.body, Blob)
    assert big.body.sha256 in bench.blobs.stored


@pytest.mark.parametrize("body", [b"raw", Blob("0" * 64, 1), None, "text"])
def test_only_plain_data_is_written(bench: StepBench, body: Any) -> None:
    assert rejected(lambda: bench.run(bench.build({"translate": {"to": "lines"}}), body)).code == "VAL504"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, "CFG501"),
        ({"mapping": "m", "to": "lines"}, "CFG501"),
        ({"mapping": "m", "profile": "p"}, "CFG502"),
        ({"to": "plain", "profile": "p"}, "CFG502"),
    ],
)
def test_unclear_translations_are_refused(bench: StepBench, options: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        bench.spec({"translate": options})
    assert caught.value.errors()[0]["type"] == code


def test_a_profile_is_checked_by_the_format_with_its_other_options(bench: StepBench) -> None:
    spec = bench.spec({"translate": {"to": {"lines": {"most": "5"}}, "profile": "p"}})

    assert (spec.to.profile, spec.to.most) == ("p", 5)


# ---------------------------------------------------------------- formats that write from several things


def test_from_belongs_to_formats_that_know_it(bench: StepBench) -> None:
    for written in ({"to": "lines", "from": "json"}, {"mapping": "m", "from": "json"}):
        with pytest.raises(ValidationError) as caught:
            bench.spec({"translate": written})
        assert "CFG502" in {error["type"] for error in caught.value.errors()}


@pytest.mark.parametrize("as_blob", [True, False])
def test_a_file_becomes_another_version_in_one_step(bench: StepBench, *, as_blob: bool) -> None:
    step = bench.build({"translate": {"to": {"turned": {}}, "from": "upside-down"}})
    content = b"abc"
    (message,) = bench.run(step, bench.message(bench.blobs.put(content) if as_blob else content))

    assert isinstance(message, Message)
    assert isinstance(message.body, Blob)
    assert bench.blobs.open(message.body).read() == b"cba upside-down"
    assert message.properties["findings"] == [{"code": "VAL620", "place": "byte 1", "message": "lost"}]
    (quiet,) = bench.run(step, bench.message(b""))
    assert isinstance(quiet, Message)
    assert "findings" not in quiet.properties
