"""The real engine under many annotators: what it answers at once it would have answered alone."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
import structlog

torch = pytest.importorskip("torch", reason="sam needs torch")
pytest.importorskip("segment_anything", reason="an oracle: pip install segment-anything torchvision")

from cleanplate.codecs.rle import mask_from_rle  # noqa: E402  (after the skip)
from cleanplate.domain.geometry import Point  # noqa: E402
from cleanplate.domain.image import Mask, RgbImage, Size  # noqa: E402
from cleanplate.domain.prompt import Prompt  # noqa: E402
from cleanplate.engines.embedding_disk import EmbeddingDisk  # noqa: E402
from cleanplate.engines.embeddings import EmbeddingCache  # noqa: E402
from cleanplate.engines.registry import load_segmenter  # noqa: E402
from cleanplate.engines.weights import Weights  # noqa: E402
from cleanplate.label_studio.payloads import PredictRequest  # noqa: E402
from cleanplate.pipeline.predict import Predictor  # noqa: E402
from cleanplate.pipeline.turns import Conversations  # noqa: E402
from fakes import sam_checkpoints as checkpoints  # noqa: E402

THREADS, IMAGES = 8, 50
SHARED = 2
"""So many images of the others each annotator visits besides his own: more take minutes where there are two cores."""

SIZE = Size(width=64, height=64)  # eighths of it are exact in percent
LABELS = "".join(f'<Label value="{thread}"/>' for thread in range(THREADS))
CONFIG = f"""
<View><Image name="image" value="$image"/>
<KeyPointLabels name="kp" toName="image" smart="true">{LABELS}</KeyPointLabels>
<BrushLabels name="brush" toName="image" smart="false">{LABELS}</BrushLabels></View>
"""


class NumberedMedia:
    def fetch(self, url: str, *, project_id: int, task_id: int) -> bytes:  # noqa: ARG002  the real one's signature
        return bytes([int(url)])


def image_of(data: bytes) -> RgbImage:
    """Large spots of random colours, others for each number."""
    spots = np.random.default_rng(data[0]).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return spots.repeat(8, axis=0).repeat(8, axis=1)


def click_of(thread: int) -> Point:
    return Point(8 * thread + 3.5, 7.5)


def request(number: int, thread: int) -> PredictRequest:
    click = click_of(thread)
    # Label Studio's percentages begin at the left edge of the first pixel, ours at its centre.
    value = {"x": 100 * (click.x + 0.5) / SIZE.width, "y": 100 * (click.y + 0.5) / SIZE.height}
    frame = {"original_width": SIZE.width, "original_height": SIZE.height, "type": "keypointlabels"}
    names = {"id": f"{thread}-{number}", "from_name": "kp", "to_name": "image", "is_positive": True}
    item = frame | names | {"value": value | {"keypointlabels": [str(thread)]}}
    return PredictRequest.parse(
        {
            "tasks": [{"id": number + 1, "data": {"image": str(number)}}],
            "project": "1.1",
            "label_config": CONFIG,
            "params": {"context": {"result": [item]}},
        }
    )


def decided_sam():
    """A network of noise whose logits are far from 0, so that its masks are stable and its scores tell images apart."""
    sam = checkpoints.seeded_sam()
    with torch.inference_mode():
        for network in sam.mask_decoder.output_hypernetworks_mlps:
            network.layers[-1].weight *= 100
            network.layers[-1].bias *= 100
    return sam


@pytest.fixture(autouse=True)
def one_thread_a_call() -> Iterator[None]:
    """Eight threads that have helpers each wait for one another more than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_eight_annotators_on_fifty_images_get_the_masks_that_each_would_get_alone(tmp_path) -> None:
    checkpoint = checkpoints.state_dict(tmp_path / "sam.pth", decided_sam())
    sam = load_segmenter("sam", Weights(checkpoint=checkpoint, device="cpu", precision="fp32"))
    room = sam.embed(image_of(b"\0")).size_bytes * IMAGES // 4
    predictor = Predictor(
        segmenter=sam,
        media=NumberedMedia(),
        read_image=image_of,
        # Memory for a quarter of them: they come from the disk again all the time.
        embeddings=EmbeddingCache(room, EmbeddingDisk(tmp_path / "embeddings", key=b"k" * 32, max_bytes=2**30)),
        conversations=Conversations(),
        label_studio_url="http://ls",
    )

    def annotate(thread: int) -> dict[int, tuple[Mask, float]]:
        answers = {}
        own = range(thread, IMAGES, THREADS)
        others = random.Random(thread).sample([number for number in range(IMAGES) if number not in own], SHARED)
        for number in (*own, *others):
            (prediction,) = predictor.predict(request(number, thread))
            (item,) = prediction["result"]
            mask = mask_from_rle(item["value"]["rle"], width=SIZE.width, height=SIZE.height)
            answers[number] = mask, prediction["score"]
        return answers

    with closing(predictor), structlog.testing.capture_logs(), ThreadPoolExecutor(THREADS) as pool:
        at_once = list(pool.map(annotate, range(THREADS)))

    embeddings = [sam.embed(image_of(bytes([number]))) for number in range(IMAGES)]
    scores = set()
    for thread, answers in enumerate(at_once):
        for number, (mask, score) in answers.items():
            alone = sam.segment(embeddings[number], Prompt((click_of(thread),)))
            np.testing.assert_array_equal(mask, alone.mask)
            assert score == pytest.approx(alone.score, abs=1e-7)
            scores.add(round(alone.score, 6))
    # A network that has learnt nothing draws much the same on all images, but its scores tell them apart.
    assert len(scores) > 0.8 * sum(map(len, at_once))
    assert predictor._embeddings.stats.misses == IMAGES
