"""The weights that are published for the engines. To name one needs none of their libraries.

What the makers do not state, the SHA-256 above all, is stated alike by several projects that fetch the same files:
docs/decisions/0012-fetching-weights.md.
"""

from typing import Final

from cleanplate.engines.weights import Published

BIG_LAMA: Final = Published(
    engine="lama",
    names=("big-lama.pt", "big-lama.safetensors", "big-lama"),
    inside="models/best.ckpt",
    address="https://github.com/Sanster/models/releases/download/add_big_lama/big-lama.pt",
    size_bytes=205_669_692,
    licence="Apache-2.0",
    setting="CLEANPLATE_LAMA_CHECKPOINT",
    sha256="344c77bbcb158f17dd143070d1e789f38a66c04202311ae3a258ef66667a9ea9",
)


def _sam(name: str, *, size_bytes: int, sha256: str) -> Published:
    """One of Meta's checkpoints; the six digits in its name begin its MD5."""
    return Published(
        engine="sam",
        names=(name,),
        inside=name,
        address=f"https://dl.fbaipublicfiles.com/segment_anything/{name}",
        size_bytes=size_bytes,
        licence="Apache-2.0",
        setting="CLEANPLATE_SAM_CHECKPOINT",
        sha256=sha256,
    )


SAM_VIT_B: Final = _sam(
    "sam_vit_b_01ec64.pth",
    size_bytes=375_042_383,
    sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
)
SAM_VIT_L: Final = _sam(
    "sam_vit_l_0b3195.pth",
    size_bytes=1_249_524_607,
    sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
)
SAM_VIT_H: Final = _sam(
    "sam_vit_h_4b8939.pth",
    size_bytes=2_564_550_879,
    sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
)

CATALOGUE: Final = (BIG_LAMA, SAM_VIT_B, SAM_VIT_L, SAM_VIT_H)
"""What `cleanplate weights` knows, an engine's smallest first."""

SAM2_REPOSITORIES: Final = (
    "facebook/sam2.1-hiera-tiny",
    "facebook/sam2.1-hiera-small",
    "facebook/sam2.1-hiera-base-plus",
    "facebook/sam2.1-hiera-large",
)
"""Meta's folders of SAM 2.1 on the Hugging Face hub, the quickest first; not fetched, as nobody states their hashes."""
