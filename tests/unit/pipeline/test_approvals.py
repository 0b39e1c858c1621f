from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from cleanplate.domain.policy import Approval
from cleanplate.jobs.job import NewJob, Subject
from cleanplate.label_studio.client import LabelStudioClient
from cleanplate.pipeline.approvals import Approvals
from fakes.label_studio import TOKEN, FakeLabelStudio

FACES = (
    '<View><Image name="image" value="$image"/>'
    '<PolygonLabels name="poly" toName="image">'
    '<Label value="Face" clean="remove"/><Label value="Plate" clean="remove"/><Label value="Tree"/>'
    "</PolygonLabels></View>"
)
NO_POLICY = FACES.replace(' clean="remove"', "")
MISTAKE = FACES.replace('"remove"', '"remvoe"', 1)
CHOICE = FACES.replace(
    "</View>", '<Choices name="review" toName="image"><Choice value="ok"/><Choice value="no"/></Choices></View>'
)


def approvals(fake: FakeLabelStudio, approval: str = "submitted", engine: str = "e1", projects=()) -> Approvals:
    client = LabelStudioClient(fake.url, TOKEN)
    return Approvals(client, approval=Approval.from_text(approval), engine=engine, projects=projects)


def polygon(label: str = "Face", region_id: str = "r1") -> dict:
    return {
        "id": region_id,
        "from_name": "poly",
        "to_name": "image",
        "type": "polygonlabels",
        "original_width": 40,
        "original_height": 30,
        "value": {"points": [[10, 10], [50, 10], [50, 60]], "polygonlabels": [label]},
    }


def choice(value: str) -> dict:
    return {"id": "c", "from_name": "review", "to_name": "image", "type": "choices", "value": {"choices": [value]}}


def jobs(source: Approvals, project: int, since: datetime | None = None, task: int | None = None) -> list[NewJob]:
    return [job for state in source.changes(project, since=since, task_id=task) for job in state.jobs]


def test_only_projects_whose_labels_have_a_policy_are_watched(label_studio) -> None:
    with_policy, _ = label_studio.add_project(FACES), label_studio.add_project(NO_POLICY)

    assert approvals(label_studio).projects() == [with_policy]


def test_only_the_projects_that_were_chosen_are_watched(label_studio) -> None:
    first, second = label_studio.add_project(FACES), label_studio.add_project(FACES)
    label_studio.annotate(label_studio.add_task(first, {"image": "/a"}), [polygon()])
    source = approvals(label_studio, projects=[second])

    assert source.projects() == [second]
    assert jobs(source, first) == []


def test_a_project_of_somebody_else_has_no_changes(label_studio) -> None:
    assert jobs(approvals(label_studio), 4711) == []


def test_each_approved_annotation_is_one_job(label_studio) -> None:
    project = label_studio.add_project(FACES)
    task = label_studio.add_task(project, {"image": "/a"})
    first, second = label_studio.annotate(task, [polygon()]), label_studio.annotate(task, [polygon()])
    empty = label_studio.add_task(project, {"image": "/b"})

    states = list(approvals(label_studio).changes(project, since=None, task_id=None))

    assert [state.task_id for state in states] == [task, empty]
    assert [job.subject for job in states[0].jobs] == [
        Subject(label_studio.url, project, task, first),
        Subject(label_studio.url, project, task, second),
    ]
    assert states[0].annotation_ids == {first, second}
    assert states[0].updated_at > datetime(2020, 1, 1, tzinfo=UTC)
    assert states[1].jobs == ()


def test_one_task_can_be_asked_for_alone(label_studio) -> None:
    project = label_studio.add_project(FACES)
    for _ in range(2):
        task = label_studio.add_task(project, {"image": "/a"})
        label_studio.annotate(task, [polygon()])

    assert [job.subject.task_id for job in jobs(approvals(label_studio), project, task=task)] == [task]
    assert list(approvals(label_studio).changes(project, since=None, task_id=4711)) == []


def test_only_tasks_that_changed_since_then_are_looked_at(label_studio) -> None:
    project = label_studio.add_project(FACES)
    label_studio.annotate(label_studio.add_task(project, {"image": "/a"}), [polygon()])
    source = approvals(label_studio)

    assert len(jobs(source, project, since=datetime(2020, 1, 1, tzinfo=UTC))) == 1
    assert jobs(source, project, since=datetime(2100, 1, 1, tzinfo=UTC)) == []


def test_all_tasks_are_looked_at_again_when_the_config_changed(label_studio) -> None:
    project = label_studio.add_project(FACES)
    label_studio.annotate(label_studio.add_task(project, {"image": "/a"}), [polygon("Tree")])
    source = approvals(label_studio)
    future = datetime(2100, 1, 1, tzinfo=UTC)
    (before,) = jobs(source, project)
    label_studio.projects[project]["label_config"] = FACES.replace('"Tree"', '"Tree" clean="remove"')

    (after,) = jobs(source, project, since=future)

    assert after.subject == before.subject
    assert after.key != before.key
    assert jobs(source, project, since=future) == []


def test_copies_are_seen_but_never_make_jobs(label_studio) -> None:
    project = label_studio.add_project(FACES)
    task = label_studio.add_task(project, {"image": "/a", "cleanplate": "id"})
    annotation = label_studio.annotate(task, [polygon()])

    (state,) = approvals(label_studio).changes(project, since=None, task_id=None)

    assert state.jobs == ()
    assert state.annotation_ids == {annotation}


def test_a_skipped_task_is_not_approved(label_studio) -> None:
    project = label_studio.add_project(FACES)
    label_studio.annotate(label_studio.add_task(project, {"image": "/a"}), [polygon()], was_cancelled=True)

    assert jobs(approvals(label_studio), project) == []


def test_with_ground_truth_only_starred_annotations_are_approved(label_studio) -> None:
    project = label_studio.add_project(FACES)
    task = label_studio.add_task(project, {"image": "/a"})
    label_studio.annotate(task, [polygon()])
    starred = label_studio.annotate(task, [polygon()], ground_truth=True)

    found = jobs(approvals(label_studio, "ground_truth"), project)

    assert [job.subject.annotation_id for job in found] == [starred]


def test_with_a_choice_only_annotations_that_made_it_are_approved(label_studio) -> None:
    project = label_studio.add_project(CHOICE)
    task = label_studio.add_task(project, {"image": "/a"})
    label_studio.annotate(task, [polygon(), choice("no")])
    chosen = label_studio.annotate(task, [polygon(), choice("ok")])

    found = jobs(approvals(label_studio, "choice:review=ok"), project)

    assert [job.subject.annotation_id for job in found] == [chosen]


@pytest.mark.parametrize(("config", "approval"), [(MISTAKE, "submitted"), (FACES, "choice:review=ok")])
def test_a_mistake_in_the_config_is_watched_and_never_stops_the_sweep(label_studio, config, approval) -> None:
    project = label_studio.add_project(config)
    task = label_studio.add_task(project, {"image": "/a"})
    label_studio.annotate(task, [polygon(), choice("ok")])
    source = approvals(label_studio, approval)

    assert source.projects() == [project]
    assert len(jobs(source, project)) == 1


def test_a_job_is_put_again_when_the_mistake_is_mended(label_studio) -> None:
    project = label_studio.add_project(MISTAKE)
    label_studio.annotate(label_studio.add_task(project, {"image": "/a"}), [polygon()])
    source = approvals(label_studio)
    (before,) = jobs(source, project)

    label_studio.projects[project]["label_config"] = FACES

    assert jobs(source, project)[0].key != before.key


@dataclass(frozen=True)
class Scene:
    """One approved annotation."""

    fake: FakeLabelStudio
    project: int
    task: int
    annotation: int

    def set_config(self, label_config: str) -> None:
        self.fake.projects[self.project]["label_config"] = label_config

    def key(self) -> str:
        (job,) = jobs(approvals(self.fake), self.project, task=self.task)
        return job.key


@pytest.fixture
def scene(label_studio) -> Scene:
    project = label_studio.add_project(FACES)
    task = label_studio.add_task(project, {"image": "/a"})
    return Scene(label_studio, project, task, label_studio.annotate(task, [polygon()]))


@pytest.mark.parametrize(
    "change",
    [
        lambda scene: scene.fake.annotations[scene.annotation].update(result=[polygon(region_id="r2")]),
        lambda scene: scene.fake.change(scene.annotation),
        lambda scene: scene.fake.tasks[scene.task].update(data={"image": "/b"}),
        lambda scene: scene.set_config(FACES.replace('"Face"', '"Face" dilate="6px"')),
        lambda scene: scene.set_config(FACES.replace('"Face"', '"Face" close="5%"')),
        lambda scene: scene.set_config(FACES.replace("$image", "$other")),
    ],
    ids=["a region", "when it was updated", "the image", "the dilation", "the holes", "where the image comes from"],
)
def test_whatever_the_copy_depends_on_changes_the_key(scene, change) -> None:
    before = scene.key()
    change(scene)

    assert scene.key() != before


@pytest.mark.parametrize(
    "change",
    [
        lambda _: None,
        lambda scene: scene.fake.annotate(scene.fake.add_task(scene.project, {"image": "/c"}), [polygon()]),
        lambda scene: scene.set_config(FACES.replace('"Plate"', '"Plate" dilate="6px"')),
        lambda scene: scene.fake.projects[scene.project].update(title="another"),
    ],
    ids=["nothing", "another task", "a label that was not used", "the project's title"],
)
def test_nothing_else_changes_the_key(scene, change) -> None:
    before = scene.key()
    change(scene)

    assert scene.key() == before


def test_another_engine_makes_other_copies(label_studio) -> None:
    project = label_studio.add_project(FACES)
    label_studio.annotate(label_studio.add_task(project, {"image": "/a"}), [polygon()])

    first, second = (jobs(approvals(label_studio, engine=engine), project) for engine in ("e1", "e2"))

    assert first[0].key != second[0].key


def test_the_order_of_regions_does_not_change_the_key(label_studio) -> None:
    project = label_studio.add_project(FACES)
    task = label_studio.add_task(project, {"image": "/a"})
    annotation = label_studio.annotate(task, [polygon(region_id="r1"), polygon(region_id="r2")])
    (before,) = jobs(approvals(label_studio), project)

    label_studio.annotations[annotation]["result"].reverse()

    assert jobs(approvals(label_studio), project) == [before]
