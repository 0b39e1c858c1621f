from typing import Any

import pytest
import structlog

from cleanplate.errors import BusyError, MediaUnavailableError, PayloadError
from cleanplate.label_studio.config import LabelConfig
from cleanplate.label_studio.payloads import PredictRequest, Task
from cleanplate.pipeline.batch import DEADLINE_S, BatchPredictor
from cleanplate.pipeline.proposals import OutOfTimeError, Proposal
from cleanplate.pipeline.wishes import BOXES, OUTLINES, Kind, Wishes

CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image" smart="false"><Label value="Face"/></BrushLabels></View>"""


class SlowProposer:
    """Needs as long for a task as the task's data say, and proposes a region of its number."""

    version = "slow-1"

    def __init__(self) -> None:
        self.now = 100.0
        self.asked: list[int] = []
        self.wishes: list[Wishes] = []

    def possible(self, kinds: tuple[Kind, ...], config: object) -> tuple[Kind, ...]:  # noqa: ARG002
        return kinds

    def propose(
        self, task: Task, *, project_id: int, config: object, wishes: Wishes, steadiness: bool, until: float
    ) -> Proposal | None:
        assert isinstance(config, LabelConfig)
        assert (project_id, steadiness, until) == (3, False, 100.0 + DEADLINE_S)
        self.asked.append(task.id)
        self.wishes.append(wishes)
        self.now += task.data.get("takes", 1)
        if self.now > until:
            raise OutOfTimeError
        if task.data.get("gone"):
            raise MediaUnavailableError("gone")
        return None if task.data.get("empty") else Proposal([{"id": f"region {task.id}"}], 1, 0.5)


@pytest.fixture
def proposer() -> SlowProposer:
    return SlowProposer()


@pytest.fixture
def batch(proposer) -> BatchPredictor:
    return BatchPredictor(proposer, clock=lambda: proposer.now)


def request(*data: dict[str, Any], project: str | None = "3.17") -> PredictRequest:
    tasks = [{"id": number, "data": part} for number, part in enumerate(data, start=1)]
    return PredictRequest.parse(
        {"tasks": tasks, "project": project, "label_config": CONFIG, "params": {"context": None}}
    )


def predicted(number: int) -> dict[str, Any]:
    return {"result": [{"id": f"region {number}"}], "score": 0.5, "model_version": "slow-1"}


def test_each_task_has_its_entry_and_one_without_masks_an_empty_list(batch) -> None:
    assert batch.predict(request({}, {"empty": True}, {})) == [predicted(1), [], predicted(3)]


def test_a_task_that_fails_spoils_no_other(batch) -> None:
    assert batch.predict(request({}, {"gone": True}, {})) == [predicted(1), [], predicted(3)]


def test_copies_are_passed_over(batch, proposer) -> None:
    assert batch.predict(request({"cleanplate": "abc"}, {})) == [[], predicted(2)]
    assert proposer.asked == [2]


def test_no_task_is_begun_that_could_not_be_done_in_time(batch, proposer) -> None:
    with structlog.testing.capture_logs() as lines:
        answers = batch.predict(request({"takes": 30}, {"takes": 30}, {"takes": 30}, {}))

    assert answers == [predicted(1), predicted(2), [], []]
    assert proposer.asked == [1, 2]
    (line,) = [line for line in lines if line["log_level"] == "warning"]
    assert (line["done"], line["left"]) == (2, 2)
    assert "cleanplate predict --project 3" in line["hint"]


def test_a_task_that_was_not_done_in_time_ends_the_list(batch) -> None:
    assert batch.predict(request({}, {"takes": DEADLINE_S}, {})) == [predicted(1), [], []]


def test_all_that_was_drawn_counts_and_a_detector_only_where_it_is_set(batch, proposer) -> None:
    batch.predict(request({}, {}))
    BatchPredictor(proposer, kinds=(Kind("face"),), clock=lambda: 100.0).predict(request({}))

    assert [wishes.shapes for wishes in proposer.wishes] == [BOXES | OUTLINES] * 3
    assert [wishes.kinds for wishes in proposer.wishes] == [(), (), (Kind("face"),)]


def test_a_second_list_is_sent_away_while_the_first_is_worked_through() -> None:
    class Asking(SlowProposer):
        refused = 0

        def propose(self, task, **more):
            with pytest.raises(BusyError, match="another list"):
                batch.predict(request({}, {}))
            Asking.refused += 1
            return super().propose(task, **more)

    asking = Asking()
    batch = BatchPredictor(asking, clock=lambda: asking.now)

    assert len(batch.predict(request({}, {}))) == 2
    assert Asking.refused == 2
    assert batch.predict(request(project="3.17")) == []


def test_a_list_of_no_project_is_refused(batch) -> None:
    with pytest.raises(PayloadError, match="project"):
        batch.predict(request({}, {}, project=None))
