"""The files of ``docs/brokers.md`` do what the page says, at a real broker."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from broker_town import Foreign, Town

PAGE = Path(__file__).parents[2] / "docs" / "brokers.md"
QUEUES = (
    *("erp.orders", "erp.results", "erp.questions", "erp.answers.a"),
    *("erp.rate-requests", "rates.questions", "rates.answers"),
)


def files(url: str) -> dict[str, str]:
    blocks = re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    found = dict(blocks)
    assert len(found) == len(blocks) == 6
    there = found["connections.yaml"]
    there = there.replace("amqps://broker.erp.example:5671/finance", url).replace("user: girobus", "user: guest")
    found["connections.yaml"] = re.sub(r"\n *trust: .*", "\n      deadline: 3s", there)
    return found


@pytest.fixture
def foreign(rabbit: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Foreign]:
    monkeypatch.setenv("ERP_BROKER_PASSWORD", "guest")
    made = Foreign(rabbit)
    made.mark = ""
    for queue in QUEUES:
        made.channel.queue_delete(queue)
        made.queue(queue)
    yield made
    made.close()


def test_orders_come_by_queue_and_so_do_their_results(tmp_path: Path, rabbit: str, foreign: Foreign) -> None:
    with Town(tmp_path, files=files(rabbit)) as town:
        order = {"amount": {"value": "12.50", "currency": "EUR"}}
        foreign.send("erp.orders", order, message_id="order-1", headers={"branch": 7})
        foreign.send("erp.orders", {"amount": None}, message_id="order-2", headers={"branch": 7})
        ((_, told, body),) = town.until(lambda: foreign.depth("erp.results") and foreign.got("erp.results"))
        assert (told.correlation_id, told.headers["x-branch"], json.loads(body)) == ("order-1", 7, order)
        town.until(lambda: len(town.cases()) == 1)


def test_questions_are_answered_at_their_return_address(tmp_path: Path, rabbit: str, foreign: Foreign) -> None:
    with Town(tmp_path, files=files(rabbit)) as town:
        foreign.send("erp.questions", {"q": 1}, message_id="q-1", reply_to="erp.answers.a", correlation_id="c-1")
        foreign.send("erp.questions", {"q": 2}, message_id="q-2", reply_to="erp.orders")
        town.until(lambda: foreign.depth("erp.answers.a") == 1 and town.cases() == ["NET255"])
        assert foreign.got("erp.answers.a")[0][1].correlation_id == "c-1"


def test_a_request_outlives_a_restart_and_finds_its_answer(tmp_path: Path, rabbit: str, foreign: Foreign) -> None:
    with Town(tmp_path, files=files(rabbit)) as town:
        foreign.send("erp.rate-requests", {"pair": "EURNOK"}, message_id="r-1")
        ((_, asked, _),) = town.until(lambda: foreign.depth("rates.questions") and foreign.got("rates.questions"))
        assert asked.reply_to == "rates.answers"
        assert asked.correlation_id == asked.message_id
        town.again()
        answer = {"correlation_id": asked.correlation_id, "headers": {"branch": 1}}
        foreign.send("rates.answers", {"rate": "11.70"}, message_id="a-1", **answer)
        town.until(lambda: foreign.depth("erp.results") == 1)
        foreign.send("rates.answers", {"rate": "99.99"}, message_id="a-2", **answer)
        foreign.send("rates.answers", {"rate": "1"}, message_id="a-3", correlation_id="never-asked")
        foreign.send("rates.answers", {"rate": "1"}, message_id="a-4")
        town.until(lambda: town.cases() == ["NET261", "NET261", "NET262"])
        assert foreign.depth("erp.results") == 1
        town.clock.advance(60_000)
        town.turn(10)
        assert town.cases() == ["NET261", "NET261", "NET262"], "an answered request is not missed"


def test_no_answer_is_a_case_and_a_late_one_too(tmp_path: Path, rabbit: str, foreign: Foreign) -> None:
    with Town(tmp_path, files=files(rabbit)) as town:
        foreign.send("erp.rate-requests", {"pair": "EURNOK"}, message_id="r-1")
        ((_, asked, _),) = town.until(lambda: foreign.depth("rates.questions") and foreign.got("rates.questions"))
        town.clock.advance(31_000)
        town.until(lambda: town.cases() == ["SLA102"])
        late = {"correlation_id": asked.correlation_id, "headers": {"branch": 1}}
        foreign.send("rates.answers", {"rate": "11.70"}, message_id="a-1", **late)
        town.until(lambda: town.cases() == ["NET263", "SLA102"])
        assert foreign.depth("erp.results") == 0
        town.app.bus.control.release(town.case("NET263"), "me", "the rate still holds")
        town.until(lambda: foreign.depth("erp.results") == 1)
