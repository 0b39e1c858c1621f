"""`predict`: masks for a whole project, as predictions in Label Studio."""

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.markup import escape

from cleanplate.cli.output import JsonOption, err, errors_as_sentences, out, print_failures
from cleanplate.cli.progress import INTERRUPTED, progress
from cleanplate.cli.start import settings_of_command

if TYPE_CHECKING:
    from cleanplate.pipeline.project_run import ProjectRun, TaskOutcome
    from cleanplate.pipeline.wishes import Wishes

_SAID: Final = {
    "predicted": "[green]{count} predicted[/green]",
    "there_already": "{count} there already",
    "nothing": "{count} with nothing to mask",
    "copy": "{count} copies passed over",
    "failed": "[red]{count} failed[/red]",
}


def add_to(app: typer.Typer) -> None:
    """Give *app* the command `predict`."""
    app.command()(predict)


def predict(
    *,
    project: Annotated[int, typer.Option(metavar="ID", min=1, help="The project's number: it is in its address.")],
    from_boxes: Annotated[
        bool, typer.Option("--from-boxes", metavar="", help="Make masks of what is in rectangles, turned ones too.")
    ] = False,
    from_polygons: Annotated[
        bool,
        typer.Option("--from-polygons", metavar="", help="Make masks of what is in polygons, ellipses, brush strokes."),
    ] = False,
    detect: Annotated[
        str,
        typer.Option(
            metavar="KINDS",
            show_default=False,
            help="Make masks of what a detector finds: face, plate, body, with commas; face=LABEL names the label.",
        ),
    ] = "",
    everything: Annotated[
        bool, typer.Option("--everything", metavar="", help="Make masks of all objects that the segmenter sees.")
    ] = False,
    label: Annotated[
        str, typer.Option(metavar="LABEL", show_default=False, help="The label of --everything, if there are several.")
    ] = "",
    as_drawn: Annotated[
        bool, typer.Option("--as-drawn", metavar="", help="Take what was drawn for the mask itself.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", metavar="", help="Replace what was predicted with the same engine before.")
    ] = False,
    prelabel: Annotated[
        bool,
        typer.Option("--prelabel", metavar="", help="Have the project use these predictions, also to order tasks."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make masks for all tasks of a project of Label Studio, and write them there as predictions.

    They are made from what was drawn: in the annotation that is ground truth, or else was submitted last, or else in
    a draft. A mask stays inside the outline it was made from.

    With --everything, regions do not overlap each other or what was drawn and masked in the same run. It takes seconds
    for an image, and with sam on a processor about a minute.

    In a project that uses these predictions (--prelabel), the least certain come first if the Data Manager is ordered
    by prediction score.

    A task that has a prediction of the same engine is passed over, so a run that was broken off goes on from there.
    """
    if not (from_boxes or from_polygons or detect.strip() or everything):
        raise typer.BadParameter("say from what: --from-boxes, --from-polygons, --detect or --everything")
    if label and not everything:
        raise typer.BadParameter("--label needs --everything")
    if as_drawn and not (from_boxes or from_polygons):
        raise typer.BadParameter("--as-drawn needs --from-boxes or --from-polygons")
    from cleanplate.app.application import Application  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.pipeline.project_run import ProjectRun  # noqa: PLC0415

    outcomes: list[TaskOutcome] = []
    interrupted = finished = False
    with errors_as_sentences(as_json=as_json):
        wishes = replace(
            _wishes(from_boxes=from_boxes, from_polygons=from_polygons, detect=detect, as_drawn=as_drawn),
            everything=label if everything else None,
        )
        application = Application(settings_of_command())
        run = ProjectRun(application.client, application.proposer, project, wishes, again=again)
        try:
            _follow(run, outcomes, as_json=as_json)
            finished = True
            if prelabel and _has_any(outcomes):
                run.use()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            _print_summary(outcomes, total=run.total, finished=finished, as_json=as_json)
            application.close()
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if _has_any(outcomes) and not run.is_used and not as_json:
        out.print(
            f"The project does not use them yet: choose [bold]{escape(run.version)}[/bold] in its settings, "
            "or add [bold]--prelabel[/bold]. Then annotators begin with them, and tasks can be ordered by their score.",
            soft_wrap=True,
        )
    if any(outcome.reason for outcome in outcomes) or len(outcomes) < run.total:
        raise typer.Exit(1)


def _wishes(*, from_boxes: bool, from_polygons: bool, detect: str, as_drawn: bool) -> "Wishes":
    from cleanplate.pipeline.wishes import BOXES, OUTLINES, Wishes, kinds_from_text  # noqa: PLC0415

    shapes = (BOXES if from_boxes else frozenset()) | (OUTLINES if from_polygons else frozenset())
    return Wishes(shapes=shapes, kinds=kinds_from_text(detect), as_drawn=as_drawn)


def _has_any(outcomes: "list[TaskOutcome]") -> bool:
    """Whether the project has predictions of this version now."""
    return any(outcome.outcome in {"predicted", "there_already"} for outcome in outcomes)


def _follow(run: "ProjectRun", outcomes: "list[TaskOutcome]", *, as_json: bool) -> None:
    """Work through the tasks and note what becomes of each."""
    with progress(run.total, shown=err.is_terminal and not as_json) as step:
        for outcome in run.outcomes():
            outcomes.append(outcome)
            step(f"task {outcome.task_id}", 1)
            if as_json:
                typer.echo(json.dumps(_json(outcome), ensure_ascii=False))


def _print_summary(outcomes: "list[TaskOutcome]", *, total: int, finished: bool, as_json: bool) -> None:
    counts = Counter(str(outcome.outcome) for outcome in outcomes)
    left = max(total - len(outcomes), 0)
    if as_json:
        typer.echo(json.dumps({"summary": {name: counts[name] for name in _SAID} | {"left": left}}))
        return
    failed = [outcome for outcome in outcomes if outcome.reason]
    print_failures("Not predicted", ((outcome.task_id, outcome.message) for outcome in failed))
    said = [sentence.format(count=counts[name]) for name, sentence in _SAID.items() if counts[name]]
    out.print(f"{'[red]✗[/red]' if failed else '[green]✓[/green]'} {', '.join(said) or 'no tasks'}", soft_wrap=True)
    if left and finished:
        err.print(f"[yellow]{left} task{'s' if left > 1 else ''} could not be read, or went away.[/yellow]")
    elif left:
        err.print(f"[yellow]Stopped with {left} to go.[/yellow] The same command goes on from here.")


def _json(outcome: "TaskOutcome") -> dict[str, Any]:
    return {
        "task": outcome.task_id,
        "outcome": str(outcome.outcome),
        "regions": outcome.regions,
        "score": outcome.score,
        "reason": outcome.reason,
        "message": outcome.message,
    }
