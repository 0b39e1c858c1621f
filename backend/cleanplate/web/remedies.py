"""What a person can do about a job or a click that did not end well, by the reason it ended with."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_OTHER: Final = "Look it up in the log, mend what is named there, then try again."

_REMEDIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "settings": "Correct the setting that the message names and restart cleanplate.",
        "policy": "Correct the attribute that the message names in the project's labelling config.",
        "bad_prompt": "Click or draw on the object itself, inside the image.",
        "bad_image": "Replace the image by a JPEG, PNG or WebP file.",
        "not_an_image": "Open the image in Label Studio: it may be a login page or a broken link.",
        "image_too_large": "Scale the image down, or raise CLEANPLATE_MAX_IMAGE_PIXELS or _BYTES.",
        "unsupported_image": "Save the image as an ordinary JPEG, PNG, WebP or TIFF file with one frame.",
        "damaged_image": "Upload the image again; the file is incomplete.",
        "cannot_splice": "Save the image as an ordinary JPEG file and upload it again.",
        "bad_mask": "Draw the region again in Label Studio and update the annotation.",
        "bad_rle": "Draw the region again in Label Studio and update the annotation.",
        "bad_polygon": "Draw the polygon again, with at least three corners, and update the annotation.",
        "size_mismatch": "The image was exchanged after it was annotated: draw its regions again.",
        "nothing_to_remove": "Draw a region over what is to be removed and update the annotation.",
        "engine": "Check the engines above; restart cleanplate if one of them failed.",
        "engine_unknown": "Name an engine that exists in CLEANPLATE_SEGMENTER, _INPAINTER or _DETECTOR.",
        "engine_missing": "Install what the message names and restart cleanplate.",
        "weights": "Fetch the weights that the message names again, or name another file.",
        "weights_unknown": "Look up the name with `cleanplate weights list`.",
        "engine_memory": "Free memory on the device, or use smaller images, then retry the job.",
        "download": "Check what answers at the address that the message names, and the proxy between.",
        "download_unavailable": "Fetch it again later: what has come is kept, and only the rest is fetched.",
        "label_studio": "Check the versions of Label Studio and cleanplate against the documentation.",
        "label_studio_unreachable": "Check LABEL_STUDIO_URL and that Label Studio is running. Retried by itself.",
        "label_studio_refused": "Check that the token's user may see and change the project.",
        "label_studio_auth": "Set a valid token in LABEL_STUDIO_API_KEY and restart. Retried by itself.",
        "bad_payload": "Label Studio answered with something unexpected; check what answers at its address.",
        "media": "Open the task in Label Studio and check that its image is shown.",
        "url_not_allowed": "Add the image's server to CLEANPLATE_ALLOWED_ORIGINS if you trust it.",
        "project_missing": "Look at the project's number in its address, and at whose token is used.",
        "media_missing": "The image is gone from its storage: bring it back, then retry the job.",
        "media_too_large": "Use a smaller file, or raise CLEANPLATE_MAX_IMAGE_BYTES.",
        "media_unavailable": "The image's server did not deliver. Retried by itself.",
        "storage": "Check the storage that copies are written to.",
        "storage_key": "Check the storage settings: a name leads out of the place for copies.",
        "storage_conflict": "Something else wrote to the place for copies; move it away, then retry the job.",
        "storage_unavailable": "Check free space and permissions of the storage. Retried by itself.",
        "lease_lost": "Another worker took the job over; nothing to do.",
        "lease_expired": "The worker was killed at this job each time: look for lack of memory, then retry the job.",
        "superseded": "The annotation changed meanwhile; its newer version has a job of its own.",
        "needs_attention": "Open the task, mend what the message names and update the annotation.",
        "unaccepted_prompts": "Open the task, accept the suggested mask (the tick below the image) and update.",
        "unknown_region": "Bring back the label or control that the message names, or give its regions one there is.",
        "certificate_failed": "The copy was not published because it broke a promise; please report this.",
        "busy": "Click again in a moment. Should this happen often, more people click than this machine can serve.",
    }
)


def remedy_for(reason: str) -> str:
    """What to do about a reason, in a sentence; every reason has an answer."""
    return _REMEDIES.get(reason, _OTHER)
