"""`compare`: one image cleaned in every way there is, on a contact sheet."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.markup import escape

from cleanplate.cli.files import content_of, naming, require_free, write
from cleanplate.cli.images import MaskFile
from cleanplate.cli.output import JsonOption, err, errors_as_sentences, out, print_json
from cleanplate.cli.start import settings_of_command

if TYPE_CHECKING:
    from cleanplate.pipeline.comparison import Candidate, Trial
    from cleanplate.settings import Settings

_SUFFIXES: Final = (".html", ".png")


def add_to(app: typer.Typer) -> None:
    """Give *app* the command `compare`."""
    app.command()(compare)


def compare(
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", exists=True, dir_okay=False, help="A JPEG, PNG, WebP or TIFF image.")
    ],
    mask: MaskFile,
    out_file: Annotated[
        Path, typer.Argument(metavar="OUT", help="Where the sheet goes: a page (.html) or a picture (.png).")
    ],
    *,
    inpainters: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Only these, with commas between them.", show_default="all that are here"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Overwrite OUT if it exists.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what each way makes of an image, side by side.

    A solid fill, a mosaic and every inpainter, with times and what changed. It shows the original: keep it private.
    """
    from cleanplate.app.choices import detector_for, limits_for  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.cli.contact_sheet import page_of, sheet_of  # noqa: PLC0415
    from cleanplate.cli.contact_sheet_picture import picture_of  # noqa: PLC0415
    from cleanplate.codecs.images import mask_from_png  # noqa: PLC0415
    from cleanplate.domain.image import size_of  # noqa: PLC0415
    from cleanplate.domain.mask import require_fit  # noqa: PLC0415
    from cleanplate.errors import StorageError  # noqa: PLC0415
    from cleanplate.pipeline.clean import Original  # noqa: PLC0415
    from cleanplate.pipeline.comparison import trials  # noqa: PLC0415

    with errors_as_sentences(as_json=as_json):
        settings = settings_of_command()
        limits = limits_for(settings)
        if out_file.suffix.lower() not in _SUFFIXES:
            raise StorageError(f"{out_file} is neither a page nor a picture: name it .html or .png")
        require_free(out_file, sources=(image, mask), overwrite=force)
        with naming(image):
            original = Original.from_bytes(content_of(image, max_bytes=limits.max_bytes), limits)
        with naming(mask):
            covered = mask_from_png(content_of(mask, max_bytes=limits.max_bytes), limits)
            require_fit(covered, size_of(original.picture.image))
        candidates, missing = _candidates(settings, inpainters)
        detector = detector_for(settings)
        done: list[Trial] = []
        with err.status("Comparing …") as status:
            for trial in trials(original, covered, candidates, limits=limits, detector=detector):
                done.append(trial)
                status.update(f"Comparing … {len(done)} of {len(candidates)}")
            sheet = sheet_of(original.picture.image, covered, done, missing=missing)
            write(out_file, page_of(sheet).encode() if out_file.suffix.lower() == ".html" else picture_of(sheet))
    if as_json:
        print_json({"trials": [_json(trial) for trial in done], "missing": dict(missing)})
        return
    for trial in done:
        what = trial.problem or f"{trial.seconds:.2f} s"
        mark = "[red]✗[/red]" if trial.problem else "[green]✓[/green]"
        out.print(f"{mark} {escape(trial.name)}  [dim]{escape(what)}[/dim]", soft_wrap=True)
    for name, why in missing:
        out.print(f"[dim]– {escape(name)}  {escape(why)}[/dim]", soft_wrap=True)
    out.print(f"[green]→[/green] {escape(str(out_file))}  [yellow]shows the original: private[/yellow]", soft_wrap=True)


def _candidates(settings: "Settings", names: str | None) -> "tuple[list[Candidate], list[tuple[str, str]]]":
    """The ways to try, and the inpainters that cannot be, with why. One that was asked for by name must be there."""
    from cleanplate.app.choices import inpainter_for  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.domain.policy import Action  # noqa: PLC0415
    from cleanplate.engines.registry import INPAINTERS  # noqa: PLC0415
    from cleanplate.errors import EngineError  # noqa: PLC0415
    from cleanplate.pipeline.comparison import Candidate  # noqa: PLC0415

    asked = [name.strip() for name in (names or "").split(",") if name.strip()]
    inpainters, missing = [], []
    for name in dict.fromkeys(asked) or sorted(INPAINTERS):
        try:
            inpainters.append(Candidate(name, Action.REMOVE, inpainter_for(settings, name)))
        except EngineError as error:
            if asked:
                raise
            missing.append((name, str(error)))
    # The traditional ways need no inpainter, but every copy is made with one at hand.
    any_inpainter = inpainters[0].inpainter if inpainters else inpainter_for(settings)
    traditional = [
        Candidate("solid fill", Action.FILL, any_inpainter),
        Candidate("mosaic", Action.PIXELATE, any_inpainter),
    ]
    return [*traditional, *inpainters], missing


def _json(trial: "Trial") -> dict[str, Any]:
    return {
        "name": trial.name,
        "seconds": round(trial.seconds, 3),
        "size_bytes": trial.size_bytes,
        "confidence": trial.confidence,
        "problem": trial.problem,
        "certificate": None if trial.certificate is None else trial.certificate.to_json(),
    }
