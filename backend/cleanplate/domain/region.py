from dataclasses import dataclass
from enum import StrEnum

from cleanplate.domain.image import Mask


class Shape(StrEnum):
    """How a region was drawn."""

    BRUSH = "brush"
    BITMASK = "bitmask"
    POLYGON = "polygon"
    RECTANGLE = "rectangle"
    ELLIPSE = "ellipse"


@dataclass(frozen=True, eq=False)
class Region:
    """One labelled shape a person drew or approved.

    Attributes:
        region_id: Label Studio's id of it.
        control: the name of the control tag it was drawn with.
        label: the name of its label.
        shape: how it was drawn.
        mask: (H, W), every pixel that has any part in it.
    """

    region_id: str
    control: str
    label: str
    shape: Shape
    mask: Mask
