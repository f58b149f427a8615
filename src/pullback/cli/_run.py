"""`pullback run NAME` and `sweep NAME`: a command for every experiment, made from its options when it is asked for."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from pullback.experiments import experiment_names, load_experiment, summary

if TYPE_CHECKING:
    from pullback.runs import Experiment
    from pullback.runs._option import Option


class ExperimentGroup(click.Group):
    """A group whose subcommands are the experiments, by name or by the path of a file.

    Args:
        name: of the group.
        help: what it does; "NAME is one of …" is added.
        act: (experiment class, its options, the other parameters) -> exit code.
        parameters: those beside the experiment's options.
    """

    def __init__(
        self,
        name: str,
        help: str,
        act: Callable[["type[Experiment]", dict[str, Any], dict[str, Any]], int],
        parameters: Sequence[click.Parameter],
    ):
        super().__init__(
            name,
            help=f"{help} NAME is one of the experiments below, or the path of a file that defines one; "
            f"`pullback {name} NAME --help` shows its options.",
            options_metavar="",
            subcommand_metavar="NAME [OPTIONS]",
        )
        self._act, self._parameters = act, list(parameters)

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return experiment_names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        del ctx
        return _command(load_experiment(cmd_name), self._act, self._parameters)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The names and summaries, read without loading the experiments."""
        del ctx
        with formatter.section("Experiments"):
            formatter.write_dl([(name, summary(name)) for name in experiment_names()])


class _OptionType(click.ParamType):
    """Hands the text of an option to the experiment's own check."""

    name = "value"

    def __init__(self, option: "Option"):
        self._option = option

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        del param, ctx
        return self._option.parse(value) if isinstance(value, str) else value


def _command(
    experiment: "type[Experiment]", act: Callable[..., int], parameters: list[click.Parameter]
) -> click.Command:
    from pullback.runs._option import options_of

    options = options_of(experiment)

    def run(**given: Any) -> int:
        own = {option.name: given.pop(option.name) for option in options}
        return act(experiment, own, given)

    return click.Command(
        name=None,
        callback=run,
        help=f"\b\n{_first_paragraph(experiment)}",
        params=[*map(_parameter, options), *parameters],
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )


def _parameter(option: "Option") -> click.Option:
    help = f"{option.help}  [{option.describe()}]"
    if option.annotation is bool:
        return click.Option([f"{option.flag}/--no-{option.flag[2:]}", option.name], default=option.default, help=help)
    return click.Option(
        [option.flag, option.name],
        type=_OptionType(option),
        default=option.default,
        metavar=option.metavar,
        help=help,
    )


def _first_paragraph(experiment: type) -> str:
    return (experiment.__doc__ or "").strip().split("\n\n")[0]
