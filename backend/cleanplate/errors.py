"""Every error cleanplate raises, in one tree.

An error is named for what failed. `reason` is its stable code for machines: the web answers with it, jobs end with
it, metrics count by it. `transient` tells whether the same work may succeed later; the worker retries on that and on
nothing else. No message holds an image, a token, a signed URL or the path of a source.
"""

from typing import ClassVar


class CleanplateError(Exception):
    """Anything cleanplate refuses or fails to do.

    Attributes:
        retry_after_s: how long to wait before the same is tried again, in seconds; None if nobody said.
    """

    reason: ClassVar[str] = "failed"
    transient: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SettingsError(CleanplateError):
    """A setting is missing, misspelt or out of its bounds."""

    reason = "settings"


class PolicyError(CleanplateError):
    """The labelling config asks for something that cannot be done or contradicts itself."""

    reason = "policy"


class PromptError(CleanplateError):
    """What the annotator pointed at cannot be segmented."""

    reason = "bad_prompt"


# Images and masks


class ImageError(CleanplateError):
    """An image cannot be used."""

    reason = "bad_image"


class NotAnImageError(ImageError):
    """The bytes are not an image in a supported format."""

    reason = "not_an_image"


class ImageTooLargeError(ImageError):
    """The image is beyond a limit; nothing was decoded."""

    reason = "image_too_large"


class UnsupportedImageError(ImageError):
    """A real image, of a kind that cannot be handled faithfully (several frames, samples of 12 bits …)."""

    reason = "unsupported_image"


class DamagedImageError(ImageError):
    """The image is truncated or broken."""

    reason = "damaged_image"


class SpliceError(ImageError):
    """A JPEG's own coefficients cannot be kept, so its copy has to be encoded anew; the message says why."""

    reason = "cannot_splice"


class MaskError(CleanplateError):
    """A mask cannot be read or does not fit its image."""

    reason = "bad_mask"


class RleError(MaskError):
    """A brush RLE is malformed or claims another size than its image has."""

    reason = "bad_rle"


class PolygonError(MaskError):
    """A polygon has too few or impossible points."""

    reason = "bad_polygon"


class SizeMismatchError(MaskError):
    """A region was drawn on an image of another size."""

    reason = "size_mismatch"


# Engines


class EngineError(CleanplateError):
    """An engine cannot do its work."""

    reason = "engine"


class EngineUnknownError(EngineError):
    """No engine has this name."""

    reason = "engine_unknown"


class EngineMissingError(EngineError):
    """The engine needs a library or weights that are not installed."""

    reason = "engine_missing"


class WeightsError(EngineError):
    """A file of weights is damaged, of another network, or not what it says it is."""

    reason = "weights"


class WeightsUnknownError(EngineError):
    """No published weights have this name."""

    reason = "weights_unknown"


class EngineMemoryError(EngineError):
    """The device has no room for an image of this size."""

    reason = "engine_memory"


# Downloads


class DownloadError(CleanplateError):
    """A published file cannot be had from its address, or is not what was published."""

    reason = "download"


class DownloadUnavailableError(DownloadError):
    """The file's server did not deliver. What has come is kept; later the rest may come."""

    reason = "download_unavailable"
    transient = True


# Label Studio


class LabelStudioError(CleanplateError):
    """Label Studio and cleanplate did not understand each other."""

    reason = "label_studio"


class LabelStudioUnreachableError(LabelStudioError):
    """Label Studio did not answer, or answered that it is in trouble."""

    reason = "label_studio_unreachable"
    transient = True


class LabelStudioRefusedError(LabelStudioError):
    """Label Studio answered with a 4xx."""

    reason = "label_studio_refused"

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class LabelStudioAuthError(LabelStudioRefusedError):
    """Label Studio does not accept the token. A person may mend it, so the work is kept and tried again."""

    reason = "label_studio_auth"
    transient = True


class ProjectMissingError(LabelStudioError):
    """Label Studio has no project of this number, or the token may not see it."""

    reason = "project_missing"


class PayloadError(LabelStudioError):
    """A request or answer is not the JSON it should be."""

    reason = "bad_payload"


class MediaError(LabelStudioError):
    """An image cannot be fetched from where its task says it is."""

    reason = "media"


class UrlNotAllowedError(MediaError):
    """The image's address is not one cleanplate may fetch from."""

    reason = "url_not_allowed"


class MediaMissingError(MediaError):
    """The image is not there (any more)."""

    reason = "media_missing"


class MediaTooLargeError(MediaError):
    """The file is larger than the limit; the download was cut."""

    reason = "media_too_large"


class MediaUnavailableError(MediaError):
    """The image's server did not deliver; it may later."""

    reason = "media_unavailable"
    transient = True


# Storage


class StorageError(CleanplateError):
    """A store cannot keep or give back an object."""

    reason = "storage"


class StorageKeyError(StorageError):
    """A key that a store must not use: absolute, empty, or leading out of the store."""

    reason = "storage_key"


class StorageConflictError(StorageError):
    """The key is taken by other bytes; nothing was overwritten."""

    reason = "storage_conflict"


class StorageUnavailableError(StorageError):
    """The store is full, read-only or out of reach for now."""

    reason = "storage_unavailable"
    transient = True


# Jobs and copies


class JobError(CleanplateError):
    """A job cannot go on."""

    reason = "job"


class LeaseLostError(JobError):
    """Another worker holds this job now; this one must not publish."""

    reason = "lease_lost"


class SupersededError(JobError):
    """The annotation changed or vanished while its job ran; this result must not be published."""

    reason = "superseded"


class AttentionError(JobError):
    """A person has to look at the annotation before a copy can be made."""

    reason = "needs_attention"


class UnacceptedPromptsError(AttentionError):
    """The annotation holds prompts but no accepted mask: what was pointed at would stay in the copy."""

    reason = "unaccepted_prompts"


class NothingToRemoveError(AttentionError, MaskError):
    """The approved regions cover no pixel: a copy would show all that the original shows."""

    reason = "nothing_to_remove"


class UnknownRegionError(AttentionError, MaskError):
    """A region's label or control is none of the labelling config, so that nobody can tell what is to become of it."""

    reason = "unknown_region"


class CertificateError(CleanplateError):
    """A finished copy breaks the clean-copy contract; it was not published."""

    reason = "certificate_failed"


class BusyError(CleanplateError):
    """All places are taken; ask again soon."""

    reason = "busy"
    transient = True
