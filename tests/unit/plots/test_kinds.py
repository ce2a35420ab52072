"""Every kind of picture: what is on it, what it refuses, and that odd values can be drawn."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import mlops_sdk
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.plots.axes import plain
from mlops_sdk.plots.bands import BANDS, bands
from mlops_sdk.plots.bars import Bar, bars
from mlops_sdk.plots.curves import curves
from mlops_sdk.plots.palette import PALETTE, look
from mlops_sdk.plots.plotted import grouped
from mlops_sdk.query.runs import Runs
from tests.unit.markup.safety import HOSTILE


def render(ax: Axes) -> bytes:
    """The whole picture; every warning of matplotlib is an error here."""
    target = BytesIO()
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.savefig(target, format="png", dpi=30)
    return target.getvalue()


def legend(ax: Axes) -> list[str]:
    found = ax.get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def test_curves_have_a_line_a_run_and_a_legend_outside(sweep: Runs) -> None:
    ax = sweep[:3].plot("val/acc")
    assert legend(ax) == ["run-00", "run-01", "run-02"]
    assert [line.get_color() for line in ax.get_lines()] == list(PALETTE[:3])
    assert ax.get_lines()[1].get_ydata().tolist() == sweep[1].metric("val/acc").value.tolist()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "val/acc")
    render(ax)
    figure = ax.get_figure(root=True)
    found = ax.get_legend()
    assert figure is not None
    assert found is not None
    assert found.get_window_extent().x0 >= ax.get_window_extent().x1  # outside, and
    assert found.get_window_extent().x1 <= figure.bbox.x1 + 5  # on the picture


def test_smoothing_leaves_the_raw_line_faint_behind(sweep: Runs) -> None:
    raw, smooth = sweep[:1].plot("val/acc", smooth=0.9).get_lines()
    assert raw.get_alpha() == pytest.approx(0.22)
    assert raw.get_zorder() < smooth.get_zorder()
    assert smooth.get_ydata()[-1] < raw.get_ydata()[-1]  # it lags behind a rising curve


def test_many_runs_differ_and_the_legend_counts_what_it_leaves_out(sweep: Runs) -> None:
    assert len({look(number) for number in range(28)}) == 28
    many = [sweep[index % 12] for index in range(30)]
    ax = curves(many, ["val/acc"])
    assert len(legend(ax)) == 21
    assert legend(ax)[-1] == "… and 10 more"
    render(ax)


def test_what_define_metric_said_is_followed(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path, capture=False, system_metrics=False) as run:
        run.define_metric("size", unit="MiB", x="epoch")
        for step in range(3):
            run.log_metrics({"size": float(step), "epoch": step / 2, "loss": 1.0}, step=step)
    view = mlops_sdk.get_run(run.run_id, tracking_uri=tmp_path)
    ax = view.plot("size")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "size [MiB]")
    assert ax.get_lines()[0].get_xdata().tolist() == [0.0, 0.5, 1.0]
    assert bands({"all": [view]}, "size").get_xlabel() == "epoch"
    assert curves([view], ["size"], x="step").get_xlabel() == "step"
    assert curves([view], ["size", "loss"]).get_xlabel() == "step"  # they do not agree
    for draw in (lambda: curves([view], ["size"], x="nope"), lambda: bands({"all": [view]}, "size", x="nope")):
        with pytest.raises(InvalidValueError, match="none of these runs has metric 'nope'"):
            draw()


def test_runs_of_one_name_are_told_apart_by_their_ids(sweep: Runs) -> None:
    names = legend(curves([sweep[0], sweep[0]], ["val/acc"]))
    assert names == [f"run-00 ({sweep[0].short_id})"] * 2


def test_metrics_of_one_run_share_an_axis_named_after_what_they_share(sweep: Runs) -> None:
    ax = curves([sweep[0]], ["train/loss", "val/loss"], yscale="log")
    assert (ax.get_ylabel(), ax.get_yscale(), legend(ax)) == ("loss", "log", ["train/loss", "val/loss"])


@pytest.mark.parametrize("x, label", [("time", "time since the start"), ("train/loss", "train/loss")])
def test_other_x_axes(sweep: Runs, x: str, label: str) -> None:
    ax = sweep[:2].plot("val/acc", x=x)
    assert ax.get_xlabel().startswith(label)
    places = ax.get_lines()[0].get_xdata()
    assert bool((np.diff(places) >= 0).all())
    render(ax)


@pytest.mark.parametrize("name", ["gaps", "point", "below", "mixed", "constant", "tiny"])
@pytest.mark.parametrize("options", [{}, {"smooth": 0.5}, {"yscale": "symlog"}, {"yscale": "auto"}, {"x": "time"}])
def test_odd_values_are_drawn(odd: Callable[[str], Any], name: str, options: dict[str, Any]) -> None:
    assert render(curves([odd(name)], ["m"], **options))


def test_values_between_gaps_are_seen_as_dots(odd: Callable[[str], Any]) -> None:
    dots = curves([odd("gaps")], ["m"]).get_lines()[-1]
    assert (dots.get_marker(), dots.get_ydata().tolist()) == ("o", [1.0, 0.5, 0.1])


@pytest.mark.parametrize("name", ["nan", "huge"])
def test_an_empty_picture_is_an_error_that_says_why(odd: Callable[[str], Any], name: str) -> None:
    with pytest.raises(InvalidValueError, match="every value of 'm' is NaN, infinite or beyond"):
        curves([odd(name)], ["m"])
    assert "no finite value" in legend(curves([odd(name), odd("point")], ["m"]))[0]


def test_a_logarithmic_axis_needs_a_value_above_0(odd: Callable[[str], Any]) -> None:
    with pytest.raises(InvalidValueError, match="'symlog' shows them all"):
        curves([odd("below")], ["m"], yscale="log")
    assert render(curves([odd("mixed")], ["m"], yscale="log"))


@pytest.mark.parametrize(
    "keys, options, said",
    [
        ([], {}, "name at least one metric to plot: they have 'train/loss', 'val/acc', 'val/loss'"),
        (["val/ac"], {}, "has metric 'val/ac': they have 'val/acc'"),
        (["val/acc"], {"kind": "pie"}, "kind is 'pie'; use one of curves, band"),
        (["val/acc"], {"smooth": 1.0}, "smooth is 1.0"),
        (["val/acc"], {"yscale": "cubic"}, "yscale is 'cubic'"),
        (["val/acc"], {"kind": "band", "band": "wide"}, "band is 'wide'"),
        (["val/acc"], {"kind": "bars", "style": "round"}, "style is 'round'"),
        (["val/acc"], {"kind": "scatter"}, "takes two names"),
        (["nope", "val/acc"], {"kind": "scatter"}, "has param 'nope': they have"),
        (["lr", "nope"], {"kind": "scatter"}, "has metric 'nope'"),
        (["val/acc", "val/loss"], {"kind": "band"}, "draws one metric, not 2"),
        ([], {"kind": "system"}, "of several runs name the system metrics"),
    ],
)
def test_what_makes_no_sense_is_said(sweep: Runs, keys: list[str], options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidValueError, match=said.replace("(", r"\(")):
        sweep.plot(*keys, **options)


def test_no_runs_and_unknown_options(sweep: Runs) -> None:
    with pytest.raises(InvalidValueError, match="they have no metric"):
        sweep[:0].plot("val/acc")
    with pytest.raises(TypeError, match="takes no 'smoth'; it takes x, smooth"):
        sweep.plot("val/acc", smoth=0.5)


def test_labels_are_shown_as_they_are() -> None:
    names = ["$x_1$ costs 5$", "_hidden", "a" * 200, "\x1b[31mred", "\u202egnp.exe", "مرحبا"]
    ax = bars([Bar(name, 1.0) for name in names], xlabel="$\\frac{1}$")
    render(ax)
    shown = [label.get_text() for label in ax.get_yticklabels()]
    assert shown[1] == "\u200b_hidden"
    assert len(shown[2]) == 46
    assert shown[3] == r"\x1b[31mred"


def test_stored_text_is_no_tex_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    assert plain(r"\input{/etc/passwd}", 99) == r"\textbackslash{}input\{/etc/passwd\}"
    assert plain("5 % of_$x^2", 99) == r"5 \% of\_\$x\textasciicircum{}2"


def test_stored_text_is_no_markup_in_an_svg() -> None:
    ax = bars([Bar(hostile, 1.0) for hostile in HOSTILE], xlabel=HOSTILE[0])
    target = BytesIO()
    figure = ax.get_figure(root=True)
    assert figure is not None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # of the font, not ours
        figure.savefig(target, format="svg")
    names = {each.tag.rpartition("}")[2] for each in ElementTree.fromstring(target.getvalue()).iter()}
    assert names <= {"svg", "metadata", "RDF", "Work", "type", "date", "format", "creator", "Agent", "title", "defs", "style",
                     "g", "path", "use", "clipPath", "rect", "text", "tspan"}  # fmt: skip
    attributes = {name for each in ElementTree.fromstring(target.getvalue()).iter() for name in each.attrib}
    assert not [name for name in attributes if name.lower().startswith("on")]


# -- bands ---------------------------------------------------------------------------------------------------------------


def test_a_band_is_mean_and_deviation_of_each_group(sweep: Runs) -> None:
    ax = sweep.plot("val/acc", kind="band", by="params.model")
    assert legend(ax) == [f"model=m{index} (n=4)" for index in range(3)]
    members = [run for run in sweep if run.params["model"] == "m1"]
    values = np.array([run.metric("val/acc").value[:19] for run in members])
    drawn = ax.get_lines()[0 if len(ax.get_lines()) == 3 else 2]
    assert np.allclose(drawn.get_ydata()[:19], values.mean(axis=0))
    low, high = _edges(ax, 1)
    assert low == pytest.approx(values.mean(axis=0)[0] - values.std(axis=0, ddof=1)[0])
    assert high == pytest.approx(values.mean(axis=0)[0] + values.std(axis=0, ddof=1)[0])


def _edges(ax: Axes, group: int) -> tuple[float, float]:
    """Lower and upper edge of a band at its first step."""
    corners = ax.collections[group].get_paths()[0].vertices
    at_first = corners[corners[:, 0] == corners[:, 0].min()][:, 1]
    return float(at_first.min()), float(at_first.max())


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize("yscale", ["linear", "log"])
def test_every_band_on_every_scale(sweep: Runs, band: str, yscale: str) -> None:
    ax = sweep.plot("val/loss", kind="band", by=["model", "opt.name"], band=band, yscale=yscale, smooth=0.5)
    assert render(ax)
    found = ax.get_legend()
    assert found is not None
    is_geometric = yscale == "log" and band in ("std", "sem", "ci")
    assert found.get_title().get_text() == ("geometric " if is_geometric else "") + BANDS[band]


def test_the_confidence_interval_is_students(sweep: Runs) -> None:
    from scipy import stats

    members = list(sweep[:4])
    ax = bands({"all": members}, "val/acc", band="ci")
    first = [run.metric("val/acc").value[0] for run in members]
    expected = stats.t.interval(0.95, 3, loc=np.mean(first), scale=stats.sem(first))
    assert _edges(ax, 0) == pytest.approx(expected)


def test_where_runs_have_ended_the_mean_goes_on_dotted_without_a_band(sweep: Runs) -> None:
    solid, dotted = bands({"two": [sweep[0], sweep[1]]}, "val/acc").get_lines()
    assert (solid.get_linestyle(), dotted.get_linestyle()) == ("-", ":")
    assert np.isnan(solid.get_ydata()[-1])
    assert dotted.get_ydata()[-1] == sweep[0].metric("val/acc").value[-1]


def test_runs_with_other_steps_are_interpolated_never_beyond_their_own(sweep: Runs, odd: Callable[[str], Any]) -> None:
    assert render(bands({"odd": [odd("gaps"), odd("point"), odd("constant")]}, "m"))


# -- bars, scatter, parallel ---------------------------------------------------------------------------------------------


def test_bars_begin_at_0_and_points_show_what_lies_far_from_it() -> None:
    near, far = [Bar("a", 0.2), Bar("b", 0.9)], [Bar("a", 0.92), Bar("b", 0.95)]
    assert len(bars(near).patches) == 2
    assert bars(near).get_xlim()[0] == 0
    assert len(bars(far).patches) == 0
    assert len(bars(far, style="bars").patches) == 2
    assert len(bars(near, xscale="log").patches) == 0


def test_bars_take_gaps_and_refuse_nothing_but_gaps() -> None:
    nan, inf = float("nan"), float("inf")
    rows = [
        Bar("a", 1.0, nan, nan),
        Bar("b", nan, nan, nan, (1.0, nan, inf)),
        Bar("c", 1e308, -inf, inf),
        Bar("d", -2, -3, -1),
    ]
    assert render(bars(rows, reference=0.0, marked={"a": "#D55E00"}))
    with pytest.raises(InvalidValueError, match="no row has a finite value"):
        bars([Bar("a", nan)])
    with pytest.raises(InvalidValueError, match="no row has a finite value"):
        bars([])
    assert "the first 60 of 1,000" in bars([Bar(str(n), n) for n in range(1000)]).get_title(loc="right")


def test_bars_of_groups_have_their_values_and_numbers(sweep: Runs) -> None:
    ax = sweep.plot("val/acc", kind="bars", by="model")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["model=m0", "model=m1", "model=m2"]
    assert [text.get_text() for text in ax.texts] == ["n=4"] * 3
    assert len(sweep.plot("val/acc", kind="bars").get_yticklabels()) == 12


def test_a_scatter_of_learning_rates_is_logarithmic(sweep: Runs) -> None:
    ax = sweep.plot("lr", "val/acc", kind="scatter", by="params.model")
    assert (ax.get_xscale(), ax.get_xlabel(), len(ax.collections)) == ("log", "lr", 3)
    places = sorted(float(x) for dots in ax.collections for x in np.asarray(dots.get_offsets())[:, 0])
    assert places == pytest.approx(sorted(float(run.params["lr"]) for run in sweep))  # type: ignore[arg-type]


def test_a_scatter_of_texts_sets_them_side_by_side(sweep: Runs) -> None:
    ax = sweep.plot("model", "val/acc", kind="scatter")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["m0", "m1", "m2"]
    assert render(ax)


def test_parallel_coordinates_go_through_what_differs(sweep: Runs) -> None:
    ax = sweep.plot("val/acc", kind="parallel")
    titles = [label.get_text() for label in ax.get_xticklabels()]
    assert set(titles) == {"model", "seed", "lr", "val/acc"}
    assert titles[-1] == "val/acc"
    assert render(ax)
    assert render(sweep.plot("lr", "opt.name", "val/loss", kind="parallel"))
    with pytest.raises(InvalidValueError, match="differ in no param"):
        sweep[:1].plot("val/acc", kind="parallel")


# -- one run -------------------------------------------------------------------------------------------------------------


def test_an_overview_has_a_panel_a_unit(sweep: Runs) -> None:
    ax = sweep[0].plot()
    figure = ax.get_figure(root=True)
    assert figure is not None
    assert [each.get_ylabel() for each in figure.axes] == ["loss", "val/acc"]
    assert render(ax)
    with pytest.raises(InvalidValueError, match="2 panels do not fit"):
        sweep[0].plot(ax=Figure().add_subplot())


def test_system_metrics_have_a_panel_a_unit(sweep: Runs) -> None:
    ax = sweep[0].plot(kind="system")
    figure = ax.get_figure(root=True)
    assert figure is not None
    assert [each.get_ylabel() for each in figure.axes] == ["percent", "GiB", "load average"]
    assert render(ax)
    assert sweep[0].plot("cpu_percent", kind="system").get_ylabel() == "percent"
    assert len(sweep.plot("cpu_percent", kind="system").get_lines()) == 12
    with pytest.raises(InvalidValueError, match="has system metric 'system/nope'"):
        sweep[0].plot("nope", kind="system")


def test_axes_of_the_user_are_drawn_on_and_returned(sweep: Runs) -> None:
    mine = Figure().add_subplot()
    assert sweep.plot("val/acc", ax=mine) is mine
    assert sweep.plot("lr", "val/acc", kind="scatter", ax=mine) is mine


def test_a_notebook_gets_a_picture_of_the_axes(sweep: Runs) -> None:
    ax: Any = sweep.plot("val/acc")
    data, size = ax._repr_png_()
    assert data.startswith(b"\x89PNG")
    assert abs(size["width"] - 768) <= 1
    assert abs(size["height"] - 432) <= 1


def test_nothing_is_loaded_before_something_is_drawn() -> None:
    code = "import sys, mlops_sdk.plots.kinds, mlops_sdk.query.view; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_groups_are_in_the_order_of_their_values(sweep: Runs) -> None:
    assert list(grouped(sweep, "seed")) == [f"seed={seed}" for seed in range(4)]
    assert list(grouped(sweep, "params.missing")) == ["missing=none"]
    with pytest.raises(InvalidValueError, match="names nothing to group by"):
        grouped(sweep, [])
