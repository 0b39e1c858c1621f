"""SAM, whose embeddings are stored: what a click needs after a restart."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="sam needs torch")
pytest.importorskip("segment_anything", reason="it names the tensors of the test's checkpoint")

from cleanplate.codecs.images import ImageLimits, picture_from_bytes  # noqa: E402  (after the skip)
from cleanplate.engines.embedding_disk import EmbeddingDisk  # noqa: E402
from cleanplate.engines.embeddings import EmbeddingCache  # noqa: E402
from cleanplate.engines.registry import load_segmenter  # noqa: E402
from cleanplate.engines.weights import Weights  # noqa: E402
from cleanplate.label_studio.payloads import PredictRequest  # noqa: E402
from cleanplate.pipeline.predict import Predictor  # noqa: E402
from cleanplate.pipeline.turns import Conversations  # noqa: E402
from fakes import sam_checkpoints as checkpoints  # noqa: E402

WIDTH, HEIGHT = 120, 90
CONFIG = """
<View><Image name="image" value="$image"/>
<KeyPointLabels name="kp" toName="image" smart="true"><Label value="Face" clean="remove"/></KeyPointLabels>
<BrushLabels name="brush" toName="image" smart="false"><Label value="Face"/></BrushLabels></View>
"""
SHADOWS = CONFIG.replace('<Label value="Face"/>', '<Label value="Face" shadow="Shadow"/><Label value="Shadow"/>')


class Media:
    def __init__(self, png: bytes) -> None:
        self.png = png
        self.fetched = 0

    def fetch(self, url: str, *, project_id: int, task_id: int) -> bytes:  # noqa: ARG002  the real one's signature
        self.fetched += 1
        return self.png


class Process:
    """A predictor with nothing in its memory yet."""

    def __init__(self, folder: Path, checkpoint: Path | None, *, segmenter: str = "sam") -> None:
        rng = np.random.default_rng(0)
        _, png = cv2.imencode(".png", rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))
        self.media = Media(png.tobytes())
        self.cache = EmbeddingCache(2**30, EmbeddingDisk(folder, key=b"k" * 32, max_bytes=2**30))
        self.predictor = Predictor(
            segmenter=load_segmenter(segmenter, Weights(checkpoint, device="cpu", precision="fp32")),
            media=self.media,
            read_image=lambda data: picture_from_bytes(data, ImageLimits()).image,
            embeddings=self.cache,
            conversations=Conversations(),
            label_studio_url="http://ls",
            warms=False,
        )

    def click(self, config: str = CONFIG, *, task_id: int = 7) -> Any:
        value = {"x": 40, "y": 50, "width": 0.2, "keypointlabels": ["Face"]}
        names = {"id": "a", "from_name": "kp", "to_name": "image", "type": "keypointlabels", "is_positive": True}
        sizes = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
        request = {
            "tasks": [{"id": task_id, "project": 1, "data": {"image": f"/data/upload/{task_id}.png"}}],
            "project": "1.1",
            "label_config": config,
            "params": {"context": {"result": [{**names, **sizes, "value": value}]}},
        }
        (prediction,) = self.predictor.predict(PredictRequest.parse(request))
        return [(item["from_name"], item["value"]) for item in prediction["result"]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return checkpoints.state_dict(tmp_path_factory.mktemp("sam") / "sam.pth", checkpoints.seeded_sam())


def test_after_a_restart_the_first_click_needs_neither_bytes_nor_encoder_and_gets_the_same_mask(
    tmp_path, checkpoint
) -> None:
    before = Process(tmp_path / "embeddings", checkpoint)
    shown = before.click()

    after = Process(tmp_path / "embeddings", checkpoint)

    assert after.click() == shown != []
    assert (after.media.fetched, after.cache.stats.misses, after.cache.stats.stored) == (0, 0, 1)


def test_the_same_photograph_in_another_task_is_fetched_but_not_encoded(tmp_path, checkpoint) -> None:
    Process(tmp_path / "embeddings", checkpoint).click()

    after = Process(tmp_path / "embeddings", checkpoint)
    after.click(task_id=8)

    assert (after.media.fetched, after.cache.stats.misses) == (1, 0)


def test_for_shadows_the_image_is_fetched_once_and_never_stored(tmp_path, checkpoint) -> None:
    Process(tmp_path / "embeddings", checkpoint).click(SHADOWS)
    (stored,) = (tmp_path / "embeddings").glob("*.embedding")

    after = Process(tmp_path / "embeddings", checkpoint)
    after.click(SHADOWS)

    assert (after.media.fetched, after.cache.stats.stored) == (1, 1)
    assert stored.stat().st_size < 2.1 * 2**20


def test_other_weights_make_their_own_embedding(tmp_path, checkpoint) -> None:
    Process(tmp_path / "embeddings", checkpoint).click()
    others = checkpoints.state_dict(tmp_path / "other.pth", checkpoints.seeded_sam(seed=1))

    after = Process(tmp_path / "embeddings", others)
    after.click()

    assert after.cache.stats.misses == 1
    assert len(list((tmp_path / "embeddings").glob("*.embedding"))) == 2


def test_what_graphcut_prepares_is_not_stored(tmp_path) -> None:
    Process(tmp_path / "embeddings", None, segmenter="graphcut").click()

    assert not (tmp_path / "embeddings").exists()
