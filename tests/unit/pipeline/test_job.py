"""Jobs from the approval to the copy's task, against a Label Studio that answers over HTTP."""

import base64
import io
import json
import re
from http import HTTPStatus

import numpy as np
import pytest
from PIL import Image

from cleanplate.codecs.images import picture_from_bytes
from cleanplate.jobs.job import Job, JobState
from fakes.jpeg_files import HAS_JPEGLIB
from fakes.label_studio import FakeLabelStudio
from fakes.workshop import (
    CONFIG,
    FACE,
    HEIGHT,
    LIMITS,
    TREE,
    WIDTH,
    Workshop,
    local_task,
    photograph,
    rectangle,
    redness,
)

OUR_NAME = re.compile(r"/data/upload/\d+/[0-9a-f]{8}-[a-z2-7]{32}\.(png|jpg)")


@pytest.fixture
def project(label_studio) -> int:
    return label_studio.add_project(CONFIG)


@pytest.fixture
def task(label_studio, project) -> int:
    url = label_studio.add_upload(project, "Grandma's house.png", photograph())
    return label_studio.add_task(project, {"image": url, "name": "John Doe"}, {"source": "private"})


def point(label: str = "Face") -> dict:
    return {
        "id": "p",
        "from_name": "point",
        "to_name": "image",
        "type": "keypointlabels",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "is_positive": True,
        "value": {"x": 50, "y": 50, "width": 0.2, "keypointlabels": [label]},
    }


def only_copy(fake: FakeLabelStudio) -> dict:
    (copy,) = fake.copies()
    return copy


def content(fake: FakeLabelStudio, copy: dict) -> bytes:
    return fake.content_of(copy["data"]["image"])


def only_job(jobs: list[Job]) -> Job:
    (job,) = jobs
    return job


# The way once


def test_an_approved_region_is_gone_from_a_copy_that_is_a_task_of_its_own(label_studio, workshop, task) -> None:
    label_studio.annotate(task, [rectangle(FACE)])

    job = only_job(workshop.sweep_and_work())

    assert job.state is JobState.DONE
    copy = only_copy(label_studio)
    original = picture_from_bytes(photograph(), LIMITS).image
    cleaned = picture_from_bytes(content(label_studio, copy), LIMITS).image
    hidden = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    hidden[FACE[1] : FACE[3], FACE[0] : FACE[2]] = True
    np.testing.assert_array_equal(cleaned[~hidden], original[~hidden])
    assert redness(content(label_studio, copy)) == 0


def test_the_task_of_a_copy_tells_nothing_of_the_original(label_studio, workshop, task) -> None:
    annotation = label_studio.annotate(task, [rectangle(FACE)])

    job = only_job(workshop.sweep_and_work())

    copy = only_copy(label_studio)
    assert set(copy["data"]) == {"image", "cleanplate"}
    assert OUR_NAME.fullmatch(copy["data"]["image"])
    assert copy["meta"] == {"cleanplate": {"certificate": job.result["certificate"], "synthetic": False}}
    assert label_studio.annotations_of(copy["id"]) == []
    assert [found["id"] for found in label_studio.annotations_of(task)] == [annotation]


def test_the_job_and_the_ledger_say_what_was_made(label_studio, workshop, project, task) -> None:
    annotation = label_studio.annotate(task, [rectangle(FACE)])

    job = only_job(workshop.sweep_and_work())

    copy = only_copy(label_studio)
    record = workshop.ledger.get(copy["data"]["cleanplate"])
    assert (record.project_id, record.task_id, record.annotation_id) == (project, task, annotation)
    assert record.copy_task_id == copy["id"] == job.result["copy_task"]
    assert record.address == copy["data"]["image"]
    assert record.sha256 == job.result["sha256"]
    assert record.size_bytes == len(content(label_studio, copy))
    verdicts = {clause["level"]: clause["verdict"] for clause in record.certificate["clauses"]}
    assert verdicts == dict.fromkeys(["L1", "L2", "L3", "L4", "L5", "L6"], "pass")
    assert job.result["re_encoded"] is False


def test_a_jpeg_stays_one_and_is_marked_if_it_was_encoded_again(label_studio, workshop, project) -> None:
    url = label_studio.add_upload(project, "a.jpg", photograph("JPEG", quality=90))
    label_studio.annotate(label_studio.add_task(project, {"image": url}), [rectangle(FACE)])

    job = only_job(workshop.sweep_and_work())

    assert job.result["re_encoded"] is not HAS_JPEGLIB
    assert only_copy(label_studio)["data"]["image"].endswith(".jpg")
    assert content(label_studio, only_copy(label_studio)).startswith(b"\xff\xd8")


def test_an_image_that_came_inside_its_task_becomes_an_upload(label_studio, workshop, project) -> None:
    url = "data:image/png;base64," + base64.b64encode(photograph()).decode()
    label_studio.annotate(label_studio.add_task(project, {"image": url}), [rectangle(FACE)])

    assert only_job(workshop.sweep_and_work()).state is JobState.DONE
    assert OUR_NAME.fullmatch(only_copy(label_studio)["data"]["image"])


def test_the_copy_of_an_image_in_the_cloud_is_uploaded(label_studio, workshop, project) -> None:
    label_studio.files["s3://bucket/street/a b.png"] = photograph()
    task = label_studio.add_task(project, {"image": "s3://bucket/street/a b.png"})
    label_studio.annotate(task, [rectangle(FACE)])

    assert only_job(workshop.sweep_and_work()).state is JobState.DONE
    assert OUR_NAME.fullmatch(only_copy(label_studio)["data"]["image"])


def test_a_photograph_that_is_stored_turned_is_cleaned_where_people_saw_it(label_studio, workshop, project) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    upright = Image.open(io.BytesIO(photograph()))
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", quality=95, subsampling=0, exif=exif)
    url = label_studio.add_upload(project, "a.jpg", file.getvalue())
    label_studio.annotate(label_studio.add_task(project, {"image": url}), [rectangle(FACE)])

    workshop.sweep_and_work()

    cleaned = content(label_studio, only_copy(label_studio))
    assert picture_from_bytes(cleaned, LIMITS).image.shape == (HEIGHT, WIDTH, 3)
    assert redness(cleaned, (0, 0, WIDTH, HEIGHT)) == 0
    assert 0x0112 not in Image.open(io.BytesIO(cleaned)).getexif()


@pytest.mark.parametrize("label", ["../../etc", "😀\N{RIGHT-TO-LEFT OVERRIDE}", "L" * 10_000])
def test_no_name_of_a_label_reaches_the_copy(label_studio, workshop, task, label) -> None:
    project = label_studio.tasks[task]["project"]
    label_studio.projects[project]["label_config"] = CONFIG.replace('"Face"', f'"{label}"')
    label_studio.annotate(task, [rectangle(FACE, label)])

    assert only_job(workshop.sweep_and_work()).state is JobState.DONE
    copy = only_copy(label_studio)
    assert OUR_NAME.fullmatch(copy["data"]["image"])
    assert label not in json.dumps(copy, ensure_ascii=False)


@pytest.mark.parametrize("name", ["../../../x.png", "CON.png", "a\\b.png", "\u202egnp.exe.png", "x" * 200 + ".png"])
def test_no_name_of_a_source_reaches_the_copy(label_studio, workshop, project, name) -> None:
    url = label_studio.add_upload(project, name, photograph())
    region = rectangle(FACE, region_id="../../r\0")
    label_studio.annotate(label_studio.add_task(project, {"image": url}), [region])

    assert only_job(workshop.sweep_and_work()).state is JobState.DONE
    assert OUR_NAME.fullmatch(only_copy(label_studio)["data"]["image"])


def test_every_step_is_reported_in_its_order(label_studio, workshop, task) -> None:
    label_studio.annotate(task, [rectangle(FACE)])
    steps: list[str] = []
    workshop.sweep()

    workshop.work(on_step=lambda _, step: steps.append(step))

    assert steps == ["fetch", "plan", "erase", "fill", "composite", "encode", "certify", "store", "publish"]


# Regions that are kept


def test_kept_regions_go_along_as_one_annotation_with_their_ids(label_studio, workshop, task) -> None:
    label_studio.annotate(task, [rectangle(FACE), rectangle(TREE, "Tree", "tree")])

    workshop.sweep_and_work()

    copy = only_copy(label_studio)
    (carried,) = label_studio.annotations_of(copy["id"])
    assert [item["id"] for item in carried["result"]] == ["tree"]
    assert carried["result"][0]["value"] == rectangle(TREE, "Tree")["value"]
    assert copy["meta"]["cleanplate"]["annotation"] == carried["id"]


def test_a_kept_region_that_is_mostly_removed_stays_behind(label_studio, workshop, task) -> None:
    label_studio.annotate(task, [rectangle(FACE), rectangle(FACE, "Tree", "same")])

    workshop.sweep_and_work()

    assert label_studio.annotations_of(only_copy(label_studio)["id"]) == []


def test_other_regions_than_regions_stay_behind(label_studio, workshop, task) -> None:
    text = {"id": "t", "from_name": "note", "to_name": "image", "type": "textarea", "value": {"text": ["John Doe"]}}
    label_studio.annotate(task, [rectangle(FACE), point(), text])

    workshop.sweep_and_work()

    assert label_studio.annotations_of(only_copy(label_studio)["id"]) == []


# Again


def test_the_same_approval_twice_is_one_copy(label_studio, workshop, task) -> None:
    label_studio.annotate(task, [rectangle(FACE)])

    for _ in range(3):
        jobs = workshop.sweep_and_work()

    assert len(jobs) == 1
    assert len(label_studio.copies()) == 1
    assert len(label_studio.uploads) == 2


def test_an_annotation_that_changed_changes_its_copy_and_the_old_file_goes(label_studio, workshop, task) -> None:
    annotation = label_studio.annotate(task, [rectangle((0, 0, 10, 10)), rectangle(TREE, "Tree", "tree")])
    workshop.sweep_and_work()
    first = dict(only_copy(label_studio))
    assert redness(content(label_studio, first)) == 1

    label_studio.change(annotation, result=[rectangle(FACE), rectangle(TREE, "Tree", "other tree")])
    jobs = workshop.sweep_and_work()

    second = only_copy(label_studio)
    assert [job.state for job in jobs] == [JobState.DONE, JobState.DONE]
    assert second["id"] == first["id"]
    assert second["data"]["cleanplate"] == first["data"]["cleanplate"]
    assert second["data"]["image"] != first["data"]["image"]
    assert redness(content(label_studio, second)) == 0
    assert len(label_studio.uploads) == 2
    (carried,) = label_studio.annotations_of(second["id"])
    assert [item["id"] for item in carried["result"]] == ["other tree"]


def test_what_is_not_kept_any_more_leaves_the_copy(label_studio, workshop, task) -> None:
    annotation = label_studio.annotate(task, [rectangle(FACE), rectangle(TREE, "Tree", "tree")])
    workshop.sweep_and_work()

    label_studio.change(annotation, result=[rectangle(FACE)])
    workshop.sweep_and_work()

    copy = only_copy(label_studio)
    assert label_studio.annotations_of(copy["id"]) == []
    assert "annotation" not in copy["meta"]["cleanplate"]


def test_what_people_add_to_a_copy_stays(label_studio, workshop, task) -> None:
    annotation = label_studio.annotate(task, [rectangle(FACE)])
    workshop.sweep_and_work()
    theirs = label_studio.annotate(only_copy(label_studio)["id"], [rectangle(TREE, "Tree", "theirs")])

    label_studio.change(annotation, result=[rectangle(FACE), rectangle(TREE, "Tree", "tree")])
    workshop.sweep_and_work()
    label_studio.change(annotation, result=[rectangle(FACE)])
    workshop.sweep_and_work()

    assert [found["id"] for found in label_studio.annotations_of(only_copy(label_studio)["id"])] == [theirs]


def test_a_copy_whose_task_somebody_deleted_comes_back_with_the_next_change(label_studio, workshop, task) -> None:
    annotation = label_studio.annotate(task, [rectangle(FACE)])
    workshop.sweep_and_work()
    del label_studio.tasks[only_copy(label_studio)["id"]]

    label_studio.change(annotation)
    workshop.sweep_and_work()

    assert redness(content(label_studio, only_copy(label_studio))) == 0


def test_two_annotations_of_a_task_are_two_copies(label_studio, workshop, task) -> None:
    for _ in range(2):
        label_studio.annotate(task, [rectangle(FACE)])

    workshop.sweep_and_work()

    first, second = label_studio.copies()
    assert first["data"]["cleanplate"] != second["data"]["cleanplate"]


def test_copies_make_no_jobs_whatever_is_done_to_them(label_studio, workshop, task) -> None:
    label_studio.annotate(task, [rectangle(FACE)])
    workshop.sweep_and_work()

    label_studio.annotate(only_copy(label_studio)["id"], [rectangle(FACE)])
    jobs = workshop.sweep_and_work()

    assert len(jobs) == 1
    assert len(label_studio.copies()) == 1


# While the job runs


@pytest.mark.parametrize("step", ["fetch", "plan", "fill", "certify", "store"])
def test_an_annotation_deleted_while_its_job_runs_makes_no_copy(label_studio, workshop, task, step) -> None:
    annotation = label_studio.annotate(task, [rectangle(FACE)])
    workshop.sweep()

    def delete(_: object, reached: str) -> None:
        if reached == step:
            label_studio.forget(annotation)

    job = only_job(workshop.work(on_step=delete))

    assert job.state is JobState.SUPERSEDED
    assert label_studio.copies() == []
    assert len(label_studio.uploads) == 1


@pytest.mark.parametrize("step", ["fetch", "plan", "fill", "certify", "store"])
def test_of_an_annotation_that_changes_while_its_job_runs_only_the_last_state_is_published(
    label_studio, workshop, task, step
) -> None:
    annotation = label_studio.annotate(task, [rectangle((0, 0, 10, 10))])
    workshop.sweep()

    def change(_: object, reached: str) -> None:
        if reached == step:
            label_studio.change(annotation, result=[rectangle(FACE)])

    job = only_job(workshop.work(on_step=change))
    assert job.state is JobState.SUPERSEDED
    assert label_studio.copies() == []

    workshop.sweep_and_work()

    assert redness(content(label_studio, only_copy(label_studio))) == 0
    assert len(label_studio.uploads) == 2


def test_a_job_that_a_newer_one_replaced_publishes_nothing(label_studio, workshop, task) -> None:
    annotation = label_studio.annotate(task, [rectangle(FACE)])
    workshop.sweep()

    def change_and_sweep(_: object, reached: str) -> None:
        if reached == "encode" and len(workshop.queue.jobs()) == 1:
            label_studio.change(annotation)
            workshop.sweep()

    first, second = workshop.work(on_step=change_and_sweep)

    assert (first.state, second.state) == (JobState.SUPERSEDED, JobState.DONE)
    assert len(label_studio.copies()) == 1
    assert len(label_studio.uploads) == 2


def test_a_worker_that_lost_its_lease_publishes_nothing_and_spoils_nothing(label_studio, workshop, task) -> None:
    label_studio.annotate(task, [rectangle(FACE)])
    workshop.sweep()
    other = Workshop(label_studio.url, workshop.folder)

    def fall_asleep(_: object, reached: str) -> None:
        if reached == "store" and not label_studio.copies():
            workshop.expire_leases()
            other.work()

    workshop.work(on_step=fall_asleep)

    assert only_job(workshop.queue.jobs()).state is JobState.DONE
    assert redness(content(label_studio, only_copy(label_studio))) == 0
    assert len(label_studio.uploads) == 2


def test_an_annotation_that_is_not_approved_any_more_makes_no_copy(label_studio, tmp_path, task) -> None:
    workshop = Workshop(label_studio.url, tmp_path, approval="ground_truth")
    annotation = label_studio.annotate(task, [rectangle(FACE)], ground_truth=True)
    workshop.sweep()

    label_studio.annotations[annotation]["ground_truth"] = False
    job = only_job(workshop.work())

    assert (job.state, job.message) == (JobState.SUPERSEDED, "the annotation is not approved any more")


# What a person has to look at


def test_prompts_without_a_mask_wait_for_a_person(label_studio, workshop, task) -> None:
    label_studio.annotate(task, [point()])

    job = only_job(workshop.sweep_and_work())

    assert (job.state, job.reason) == (JobState.ATTENTION, "unaccepted_prompts")
    assert "'Face'" in job.message
    assert label_studio.copies() == []
    assert len(label_studio.uploads) == 1


@pytest.mark.parametrize("result", [[], [rectangle(TREE, "Tree")], [rectangle((200, 200, 210, 210))]])
def test_an_approval_of_nothing_waits_for_a_person(label_studio, workshop, task, result) -> None:
    label_studio.annotate(task, result)

    job = only_job(workshop.sweep_and_work())

    assert (job.state, job.reason) == (JobState.ATTENTION, "nothing_to_remove")
    assert label_studio.copies() == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (CONFIG.replace('clean="remove"', 'clean="remvoe"'), 'clean="remvoe"'),
        (CONFIG.replace('clean="remove"', 'clean="blur"'), 'clean="blur"'),
        (CONFIG.replace("<Image ", '<Image name="second" value="$second"/><Image '), "exactly one <Image"),
    ],
    ids=["a mistake", "not in this version", "two images"],
)
def test_a_config_that_cannot_be_followed_is_named_by_the_job(label_studio, workshop, task, config, said) -> None:
    label_studio.projects[label_studio.tasks[task]["project"]]["label_config"] = config
    label_studio.annotate(task, [rectangle(FACE)])

    job = only_job(workshop.sweep_and_work())

    assert (job.state, job.reason) == (JobState.DEAD, "policy")
    assert said in job.message
    assert label_studio.copies() == []


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ({"original_width": WIDTH + 1}, "size_mismatch"),
        ({"original_height": 0}, "size_mismatch"),
        ({"original_width": -5}, "size_mismatch"),
        ({"original_width": 1e9}, "size_mismatch"),
        ({"original_height": None}, "size_mismatch"),
    ],
)
def test_a_region_drawn_on_an_image_of_another_size_makes_no_copy(label_studio, workshop, task, size, reason) -> None:
    label_studio.annotate(task, [rectangle(FACE) | size])

    job = only_job(workshop.sweep_and_work())

    assert (job.state, job.reason) == (JobState.DEAD, reason)
    assert label_studio.copies() == []


@pytest.mark.parametrize(
    ("image", "reason"), [(b"", "not_an_image"), (b"<svg/>", "not_an_image"), (photograph()[:-90], "damaged_image")]
)
def test_an_original_that_cannot_be_used_makes_no_copy(label_studio, workshop, project, image, reason) -> None:
    url = label_studio.add_upload(project, "a.png", image)
    label_studio.annotate(label_studio.add_task(project, {"image": url}), [rectangle(FACE)])

    job = only_job(workshop.sweep_and_work())

    assert (job.state, job.reason) == (JobState.DEAD, reason)
    assert label_studio.copies() == []


@pytest.mark.parametrize("data", [{}, {"image": None}, {"image": ["/a"]}, {"image": "/data/upload/1/none.png"}])
def test_a_task_without_its_image_makes_no_copy(label_studio, workshop, project, data) -> None:
    label_studio.annotate(label_studio.add_task(project, data), [rectangle(FACE)])

    job = only_job(workshop.sweep_and_work())

    assert (job.state, job.reason) == (JobState.DEAD, "media_missing")


# When Label Studio does not answer


@pytest.mark.parametrize(
    "how",
    [{}, {"after": True}, {"status": HTTPStatus.SERVICE_UNAVAILABLE}],
    ids=["connection lost before", "connection lost after", "503"],
)
@pytest.mark.parametrize(
    "request_line",
    [
        r"GET /data/upload/.*",
        r"POST /api/projects/\d+/import",
        r"GET /api/import/file-upload/\d+",
        r"POST /api/tasks/",
        r"POST /api/tasks/\d+/annotations/",
        r"PATCH /api/tasks/\d+/",
    ],
)
def test_a_lost_answer_makes_neither_a_second_file_nor_a_second_task(
    label_studio, workshop, task, request_line, how
) -> None:
    label_studio.annotate(task, [rectangle(FACE), rectangle(TREE, "Tree", "tree")])
    label_studio.trouble(*request_line.split(" "), **how)

    job = only_job(workshop.sweep_and_work())
    assert (job.state, job.reason) == (JobState.READY, "label_studio_unreachable")
    workshop.expire_leases()
    job = only_job(workshop.work())

    assert job.state is JobState.DONE
    copy = only_copy(label_studio)
    assert redness(content(label_studio, copy)) == 0
    assert len(label_studio.uploads) == 2
    assert len(label_studio.annotations_of(copy["id"])) == 1


def test_a_file_that_comes_back_with_other_bytes_is_not_published(label_studio, workshop, task) -> None:
    label_studio.annotate(task, [rectangle(FACE)])
    workshop.sweep()

    def spoil(method: str, path: str) -> None:
        if method == "GET" and OUR_NAME.fullmatch(path):
            label_studio.files[path.removeprefix("/data/")] = b"something else"

    label_studio.before = spoil
    job = only_job(workshop.work())

    assert (job.state, job.reason) == (JobState.READY, "storage_unavailable")
    assert label_studio.copies() == []
    assert len(label_studio.uploads) == 1
    label_studio.before = None
    workshop.expire_leases()
    assert only_job(workshop.work()).state is JobState.DONE


def test_of_two_tasks_made_for_one_copy_at_once_one_remains(label_studio, workshop, task, project) -> None:
    label_studio.annotate(task, [rectangle(FACE)])
    workshop.sweep()

    def make_another(method: str, path: str) -> None:
        if (method, path) == ("POST", "/api/tasks/") and not label_studio.copies():
            copy_id = workshop.names.copy_id(
                label_studio_url=label_studio.url, project_id=project, task_id=task, annotation_id=annotation
            )
            label_studio.add_task(project, {"image": "/data/upload/1/x", "cleanplate": copy_id})

    (annotation,) = label_studio.annotations
    label_studio.before = make_another
    workshop.work()

    assert redness(content(label_studio, only_copy(label_studio))) == 0


# Local files


def test_the_copy_of_a_local_file_lies_beside_the_folder_that_is_imported(local, root, tmp_path) -> None:
    task = local_task(local)
    local.annotate(task, [rectangle(FACE)])

    job = only_job(Workshop(local.url, tmp_path, local_root=root).sweep_and_work())

    assert job.state is JobState.DONE
    copy = only_copy(local)
    (file,) = (root / "street-cleanplate").iterdir()
    assert copy["data"]["image"] == f"http://studio/data/local-files/?d=street-cleanplate/{file.name}"
    assert redness(file.read_bytes()) == 0
    assert [path.name for path in (root / "street").rglob("*.png")] == ["a b.png"]
    assert (root / "street" / "day 1" / "a b.png").read_bytes() == photograph()
    assert local.uploads == {}


def test_no_sync_brings_copies_back(local, root, tmp_path) -> None:
    local.annotate(local_task(local), [rectangle(FACE)])
    workshop = Workshop(local.url, tmp_path, local_root=root)
    workshop.sweep_and_work()

    for number in list(local.storages):
        workshop.client._call("POST", f"/api/storages/localfiles/{number}/sync")

    assert len(local.storages) == 2
    assert [task["data"]["image"] for task in local.tasks.values() if task.get("synced")] == [
        "/data/local-files/?d=street/day 1/a b.png"
    ]


def test_a_changed_annotation_replaces_the_file_and_needs_no_second_storage(local, root, tmp_path) -> None:
    task = local_task(local)
    annotation = local.annotate(task, [rectangle((0, 0, 9, 9))])
    workshop = Workshop(local.url, tmp_path, local_root=root)
    workshop.sweep_and_work()

    local.change(annotation, result=[rectangle(FACE)])
    workshop.sweep_and_work()

    (file,) = (root / "street-cleanplate").iterdir()
    assert redness(file.read_bytes()) == 0
    assert only_copy(local)["data"]["image"].endswith(file.name)
    assert len(local.storages) == 2


@pytest.mark.parametrize("other", [{"path": "{root}", "recursive_scan": True}, {"path": "{root}/street-cleanplate"}])
def test_copies_are_refused_where_a_storage_would_import_them(local, root, tmp_path, other) -> None:
    task = local_task(local)
    local.annotate(task, [rectangle(FACE)])
    project = local.tasks[task]["project"]
    path = other["path"].format(root=root)
    local.storages[2] = {**local.storages[1], "recursive_scan": False, **other, "path": path, "id": 2}
    assert local.storages[2]["project"] == project

    job = only_job(Workshop(local.url, tmp_path, local_root=root).sweep_and_work())

    assert (job.state, job.reason) == (JobState.DEAD, "storage")
    assert "local storage 2 of the project imports the folder 'street-cleanplate'" in job.message
    assert local.copies() == []
    assert [path.name for path in root.rglob("*.png")] == ["a b.png"]


def test_the_document_root_may_have_another_name_here(local, root, tmp_path) -> None:
    task = local_task(local)
    local.annotate(task, [rectangle(FACE)])
    elsewhere = tmp_path / "mounted here"
    elsewhere.symlink_to(root)

    job = only_job(Workshop(local.url, tmp_path, local_root=elsewhere).sweep_and_work())

    assert job.state is JobState.DONE
    assert local.storages[max(local.storages)]["path"] == str(root / "street-cleanplate")


def test_folders_of_one_name_in_each_other_are_told_apart(local, root, tmp_path) -> None:
    task = local_task(local, path=str(root / "street" / "street"))
    (root / "street" / "street" / "street").mkdir(parents=True)
    (root / "street" / "street" / "street" / "a.png").write_bytes(photograph())
    local.tasks[task]["data"]["image"] = "/data/local-files/?d=street/street/street/a.png"
    local.annotate(task, [rectangle(FACE)])

    assert only_job(Workshop(local.url, tmp_path, local_root=root).sweep_and_work()).state is JobState.DONE

    assert local.storages[max(local.storages)]["path"] == str(root / "street" / "street-cleanplate")
    assert len(list((root / "street" / "street-cleanplate").iterdir())) == 1


@pytest.mark.parametrize("given", [None, "somewhere else"])
def test_without_the_document_root_copies_of_local_files_are_uploaded(local, tmp_path, given) -> None:
    local.annotate(local_task(local), [rectangle(FACE)])
    elsewhere = tmp_path / given if given else None

    job = only_job(Workshop(local.url, tmp_path, local_root=elsewhere).sweep_and_work())

    assert job.state is JobState.DONE
    assert OUR_NAME.fullmatch(only_copy(local)["data"]["image"])


def test_a_file_of_the_copys_name_with_other_bytes_is_never_overwritten(local, root, tmp_path) -> None:
    local.annotate(local_task(local), [rectangle(FACE)])
    workshop = Workshop(local.url, tmp_path, local_root=root)
    workshop.sweep()
    (job,) = workshop.queue.jobs()
    taken = root / "street-cleanplate" / workshop.names.object_name(job.key, ".png")
    taken.parent.mkdir()
    taken.write_bytes(b"somebody's")

    (job,) = workshop.work()

    assert (job.state, job.reason) == (JobState.DEAD, "storage_conflict")
    assert taken.read_bytes() == b"somebody's"
    assert local.copies() == []


def test_a_folder_that_cannot_be_written_is_tried_again(local, root, tmp_path) -> None:
    local.annotate(local_task(local), [rectangle(FACE)])
    (root / "street-cleanplate").write_text("in the way")

    job = only_job(Workshop(local.url, tmp_path, local_root=root).sweep_and_work())

    assert (job.state, job.reason) == (JobState.READY, "storage_unavailable")
    assert local.copies() == []


# Files that are not ours


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/1/0123abcd-original.png",
        "/data/local-files/?d=street/day%201/a%20b.png",
        f"/data/local-files/?d=street/{'a' * 32}.png",
        "/data/local-files/?d=street-cleanplate/original.png",
        f"data:image/png;base64,{'a' * 32}.png",
    ],
)
def test_no_file_is_deleted_that_no_copy_can_be(local, root, tmp_path, address) -> None:
    local_task(local)
    local.uploads[7] = {"id": 7, "file": "upload/1/0123abcd-original.png", "project": 1, "size": 3}
    for name in (f"street/{'a' * 32}.png", "street-cleanplate/original.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"abc")

    assert not Workshop(local.url, tmp_path, local_root=root).places.delete(address, project_id=1)

    assert 7 in local.uploads
    assert len(list(root.rglob("*.png"))) == 3


# Taking a copy back


def test_a_withdrawn_copy_leaves_no_task_and_no_file_and_is_not_made_again_by_itself(
    label_studio, workshop, project, task
) -> None:
    label_studio.annotate(task, [rectangle(FACE)])
    workshop.sweep_and_work()
    (record,) = workshop.ledger.published(project_id=project, task_id=task)

    withdrawn = workshop.publisher.withdraw(record)
    jobs = workshop.sweep_and_work()

    assert withdrawn == (1, True)
    assert set(label_studio.tasks) == {task}
    assert len(label_studio.uploads) == 1
    assert workshop.ledger.published(project_id=project, task_id=None) == []
    assert only_job(jobs).state is JobState.DONE


def test_a_withdrawn_copy_is_made_again_when_its_annotation_changes(label_studio, workshop, project, task) -> None:
    annotation = label_studio.annotate(task, [rectangle(FACE)])
    workshop.sweep_and_work()
    (record,) = workshop.ledger.published(project_id=project, task_id=task)
    workshop.publisher.withdraw(record)

    label_studio.change(annotation, result=[rectangle(TREE)])
    workshop.sweep_and_work()

    (again,) = workshop.ledger.published(project_id=project, task_id=task)
    assert again.copy_id == record.copy_id
    assert only_copy(label_studio)["id"] == again.copy_task_id
