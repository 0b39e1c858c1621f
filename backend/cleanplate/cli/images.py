"""`clean` and `verify`: the clean copy without Label Studio."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape

from cleanplate.cli.files import content_of, naming, require_free, write
from cleanplate.cli.output import JsonOption, err, errors_as_sentences, new_table, out, print_json, print_table
from cleanplate.cli.start import settings_of_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cleanplate.cli.removal import Removal
    from cleanplate.pipeline.certificate import Clause

_MARKS: Final = {
    "pass": "[green]✓ pass[/green]",
    "reduced": "[yellow]≈ reduced[/yellow]",
    "re-encoded": "[yellow]≈ re-encoded[/yellow]",
    "fail": "[red]✗ fail[/red]",
    "not-checked": "[dim]– not checked[/dim]",
}

_MEANINGS: Final = {
    "L1": "erasure",
    "L2": "coverage",
    "L3": "fidelity",
    "L4": "container",
    "L5": "names",
    "L6": "task",
}

MaskFile = Annotated[
    Path,
    typer.Argument(metavar="MASK", exists=True, dir_okay=False, help="A PNG of the same size; non-zero is removed."),
]

_WITH_MASK: Final = 3
_WITHOUT_MASK: Final = 2


class Way(StrEnum):
    """In which ways something can be removed, the best first."""

    REMOVE = "remove"
    FILL = "fill"
    PIXELATE = "pixelate"
    BLUR = "blur"


def add_to(app: typer.Typer) -> None:
    """Give *app* the commands `clean` and `verify`."""
    app.command()(clean)
    app.command()(verify)


def clean(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE [MASK] OUT",
            show_default=False,
            help="An image, its mask (a PNG of the same size; non-zero is removed) and where the copy goes. "
            "Or a folder of images, a folder of masks with the same names, and a folder for the copies. "
            "No MASK with --detect.",
        ),
    ],
    *,
    detect: Annotated[
        str | None,
        typer.Option(metavar="KINDS", help="Remove what a detector finds instead: face, plate, body, with commas."),
    ] = None,
    action: Annotated[
        Way, typer.Option(metavar="WAY", help=f"What is done with it: {', '.join(Way)}. A blur can be undone.")
    ] = Way.REMOVE,
    reversible: Annotated[
        bool, typer.Option("--reversible", metavar="", help="Accept that a blur can be read back.")
    ] = False,
    dilate: Annotated[
        str,
        typer.Option(metavar="SIZE", help="Grow masks by a share of each object such as 4%, or pixels such as 6px."),
    ] = "0px",
    inpainter: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What fills the hole.", show_default="CLEANPLATE_INPAINTER"),
    ] = None,
    rename: Annotated[
        bool, typer.Option("--rename", metavar="", help="Of a folder: give copies names that tell nothing.")
    ] = False,
    masks_out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Of a folder: also write the masks that were used, for `verify`."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Overwrite copies that are in the way.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove something from an image, or from all images of a folder.

    Each copy is checked before it is written; one that breaks the contract is not written at all.
    It has the format of its image.

    Of a folder, images without a mask are named and not copied: a copy would show everything.
    A run that was broken off goes on from there when it is started again.
    """
    image, mask, out_path = _named(paths, without_mask=detect is not None)
    if not image.is_dir() and (rename or masks_out):
        raise typer.BadParameter("--rename and --masks-out are for folders")
    from cleanplate.cli.removal import Removal  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.domain.policy import Action  # noqa: PLC0415

    with errors_as_sentences(as_json=as_json):
        settings = settings_of_command()
        if not image.is_dir():
            require_free(out_path, sources=(image, *([mask] if mask else [])), overwrite=force)
        removal = Removal.from_settings(settings, inpainter=inpainter)
        removal = removal.grown(dilate).in_the_way(Action(action), reversible=reversible)
        removal = removal if detect is None else removal.detecting(detect)
        if not image.is_dir():
            _clean_file(removal, image, mask, out_path, as_json=as_json)
            return
    from cleanplate.cli.folder_runs import clean_folder  # noqa: PLC0415
    from cleanplate.cli.folders import Places  # noqa: PLC0415

    places = Places(images=image, masks=mask, out=out_path, effective=masks_out)
    clean_folder(settings, removal, places, rename=rename, overwrite=force, as_json=as_json)


def _named(paths: list[Path], *, without_mask: bool) -> tuple[Path, Path | None, Path]:
    """The image, its mask and the place for the copy; of folders the same."""
    if len(paths) != (_WITHOUT_MASK if without_mask else _WITH_MASK):
        wanted = "IMAGE OUT: with --detect there is no MASK" if without_mask else "IMAGE MASK OUT, or --detect"
        raise typer.BadParameter(f"name {wanted}")
    image, *masks, out_path = paths
    for path in (image, *masks):
        if not path.exists():
            raise typer.BadParameter(f"does not exist: {path}")
        if path.is_dir() != image.is_dir():
            raise typer.BadParameter(f"{image} and {path} must both be files, or both folders")
    if image.is_dir() and out_path.exists() and not out_path.is_dir():
        raise typer.BadParameter(f"{out_path} must be a folder: {image} is one")
    return image, masks[0] if masks else None, out_path


def _clean_file(removal: "Removal", image: Path, mask: Path | None, out_file: Path, *, as_json: bool) -> None:
    from cleanplate.errors import NothingToRemoveError  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.pipeline.clean import Original  # noqa: PLC0415

    max_bytes = removal.limits.max_bytes
    content = content_of(image, max_bytes=max_bytes)
    with naming(image):
        _require_suffix(out_file, content)
        original = Original.from_bytes(content, removal.limits)
    with naming(mask or image), err.status("Removing …"):
        to_remove = removal.mask_of(original, content_of(mask, max_bytes=max_bytes) if mask else None)
        if mask is None and not to_remove.any():
            raise NothingToRemoveError(f"no {' or '.join(removal.kinds)} was found, so there is no copy")
        copy = removal.copy_of(original, to_remove)
    write(out_file, copy.content)
    if as_json:
        print_json(copy.certificate.to_json())
        return
    _print_clauses(copy.certificate.clauses, copy.certificate.second_look)
    out.print(f"[green]✓[/green] {escape(str(out_file))}", soft_wrap=True)


def verify(
    original: Annotated[
        Path, typer.Argument(metavar="ORIGINAL", exists=True, dir_okay=False, help="What the copy was made from.")
    ],
    copy: Annotated[Path, typer.Argument(metavar="COPY", exists=True, dir_okay=False, help="The clean copy.")],
    mask: MaskFile,
    *,
    as_json: JsonOption = False,
) -> None:
    """Check a copy against the clean-copy contract.

    The three files are all it needs. The exit code is 1 if the copy breaks the contract.
    """
    from cleanplate.app.choices import limits_for  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.codecs.images import mask_from_png  # noqa: PLC0415
    from cleanplate.pipeline.verification import Names  # noqa: PLC0415
    from cleanplate.pipeline.verification import verify as verify_files  # noqa: PLC0415

    with errors_as_sentences(as_json=as_json):
        limits = limits_for(settings_of_command())
        original_content, copy_content, mask_content = (
            content_of(path, max_bytes=limits.max_bytes) for path in (original, copy, mask)
        )
        with naming(mask):
            removed = mask_from_png(mask_content, limits)
        with naming(original), err.status("Comparing …"):
            verification = verify_files(
                original_content,
                copy_content,
                removed,
                limits=limits,
                names=Names(original=original.name, copy=copy.name),
            )
    if as_json:
        print_json(verification.to_json())
    else:
        _print_clauses(verification.clauses)
        if verification.passed:
            out.print("[green]✓[/green] The copy keeps the contract.")
        else:
            out.print("[red]✗[/red] The copy breaks the contract.")
    if not verification.passed:
        raise typer.Exit(1)


def _require_suffix(path: Path, content: bytes) -> None:
    """The copy is kept as its image was: another format could not be compared with it sample by sample."""
    from cleanplate.codecs.container import format_of  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.errors import UnsupportedImageError  # noqa: PLC0415

    found = format_of(content)
    suffixes = tuple(f".{extension}" for extension in found.extensions)
    if path.suffix.lower() not in suffixes:
        name = path.with_suffix(suffixes[0]).name
        raise UnsupportedImageError(f"its copy has the same format ({found}): name it {name}")


def _print_clauses(clauses: "Sequence[Clause]", second_look: "Sequence[str]" = ()) -> None:
    table = new_table()
    for clause in clauses:
        level = f"[bold]{clause.level}[/bold] {_MEANINGS.get(clause.level, '')}"
        table.add_row(level, _MARKS[clause.verdict], escape(clause.sentence))
    for reason in second_look:
        table.add_row("[bold]second look[/bold]", "[yellow]! look[/yellow]", escape(reason))
    print_table(table)
