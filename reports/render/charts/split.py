"""Is it slow, or is it waiting? Each variant's mean latency, split where client and server stamped it, level by level.

One scale for all panels, so that what grows is seen to grow. The bracket spans what a timer in the app's outermost middleware
measured in this run; it is never drawn from belief, because what suspends in front of the handler changes it.
"""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.formatting import count, seconds, share
from reports.metrics.breakdown import Split
from reports.metrics.model import Level, Route, Study
from reports.render.charts.style import INK, canvas, look, method, tidy
from results.schema import Variant

FACETS = 3
ROOM = 0.3  # of the axis: a segment that is wider carries its name inside
TOLD = 0.05  # of the latency: a wait that is shorter is not worth a name
NAMES = ("generator lag", "before the app", "for a thread", "served", "in the handler", "to be sent")


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of one panel: the mean latency of a level, in seconds. `alone` is the handler's time with one user."""

    route: Route
    level: Level
    split: Split
    alone: float
    row: int

    @property
    def parts(self) -> tuple[float, ...]:
        """As `NAMES`: the time in the handler is cut where the unloaded handler would have been done."""
        lag, before_app, for_thread, served, to_be_sent = self.split.parts
        work = min(served, self.alone)
        return (lag, before_app, for_thread, work, served - work, to_be_sent)

    @property
    def working(self) -> float:
        """Share of the latency that is work."""
        return self.parts[3] / self.split.total if self.split.total else 0.0


def bars(study: Study) -> list[list[Bar]]:
    """Per panel its bars: one user; the crowd that most variants share, else a middle one; the largest.

    Where a route has fewer levels, the middle is left out first, then the largest.
    """
    known = [route for route in study.routes if chosen(route, None)]
    sizes = [level.users for route in known for level in chosen(route, None)[1:-1]]
    shared = max(sorted(set(sizes)), key=sizes.count, default=None)
    picked = [[bar_of(route, level, row) for level in chosen(route, shared)] for row, route in enumerate(known)]
    first, middle, last = [one[:1] for one in picked], [one[1:-1] for one in picked], [one[-1:] for one in picked if len(one) > 1]
    return [[bar for one in column for bar in one if bar] for column in (first, middle, last) if any(column)]


def bar_of(route: Route, level: Level, row: int = 0) -> Bar | None:
    """A level's bar; None where no probe saw it."""
    if level.split is None:
        return None
    return Bar(route, level, level.split, level.split.served if route.alone is None else route.alone, row)


def chosen(route: Route, shared: int | None) -> list[Level]:
    """Up to three levels with a split, the smallest first; `shared` is the middle one where the route has it."""
    known = [level for level in {level.users: level for level in route.levels}.values() if level.split]
    if shared is None or len(known) <= FACETS:
        return known
    middle = [level for level in known[1:-1] if level.users == shared]
    return [known[0], *(middle or [known[len(known) // 2]]), known[-1]]


def title(study: Study) -> str:
    """The finding as a sentence."""
    tops = {bar.route.variant: bar.split for column in bars(study)[-1:] for bar in column}
    broken = tops.get(Variant.BROKEN_ASYNC)
    if broken and broken.before_app > broken.total / 2:
        return f"Not slow but waiting: {share(broken.before_app / broken.total)} of a request's time on the blocking route, before the app sees it"
    return "What a request's time is spent on: waiting, or being served"


def draw(study: Study) -> Figure | str:
    """A row per variant, a panel per level, one axis of time."""
    columns = bars(study)
    if not columns:
        return "No crowd was measured with the server's own moments: without the probe in the app, waiting and serving cannot be told apart."
    known, total = (sum(getattr(bar.split, name) for column in columns for bar in column) for name in ("known", "count"))
    text = method(study, f"closed loop, means; all moments known for {known:,} of {total:,} requests")
    figure = canvas(11, 1.7 + 0.95 * len(columns[0]), title(study), text)
    panels = figure.subplots(1, len(columns), sharex=True, sharey=True, squeeze=False)[0]
    end = max(bar.split.total for column in columns for bar in column) * 1.04
    for axes, column in zip(panels, columns, strict=True):
        users = [bar.level.users for bar in column]
        same = min(users) == max(users)
        for bar in column:
            stack(axes, bar, end, "" if same else f"{count(bar.level.users, 'user')}, ")
        heading = count(users[0], "user") if same else "the largest crowd"
        axes.set_title(heading, fontsize=11, color=INK, loc="left", fontweight="bold")
        axes.set(xlim=(0, end), ylim=(len(columns[0]) - 0.35, -0.62))
        tidy(axes, grid="x")
    panels[0].set_yticks(range(len(columns[0])), [look(bar.route.variant).name for bar in columns[0]], fontweight="bold")
    figure.supxlabel("seconds per request, on average: one scale for all panels", fontsize=9.5, color=INK)
    return figure


def stack(axes: Axes, bar: Bar, end: float, who: str) -> None:
    """One bar: what its time went on above, its segments with the longest wait named, and what the server's timer saw below."""
    left, row = 0.0, bar.row
    colour = look(bar.route.variant).colour
    paints = ((INK, 0.5), (INK, 0.16), (INK, 0.32), (colour, 1.0), (colour, 0.3), (INK, 0.5))
    longest = max(part for part in zip(bar.parts, NAMES, strict=True) if part[1] != "served")
    for name, width, (paint, alpha) in zip(NAMES, bar.parts, paints, strict=True):
        axes.barh(row, width, left=left, height=0.3, color=paint, alpha=alpha, linewidth=0)
        if name == longest[1] and width > ROOM * end:
            axes.text(left + width / 2, row + 0.01, name, fontsize=8, color=INK, ha="center", va="center")
        left += width
    if TOLD * bar.split.total < longest[0] <= ROOM * end:
        axes.text(left + 0.02 * end, row + 0.01, f"waiting {longest[1]}", fontsize=8, color=INK, va="center")
    told = f"{who}{seconds(bar.split.total)}: {bar.working:.0%} served, {1 - bar.working:.0%} waiting"
    axes.text(0, row - 0.2, told.replace("%", " %"), fontsize=8.5, color=INK, va="bottom")
    if bar.split.timer is not None:
        bracket(axes, row + 0.21, bar, end)


def bracket(axes: Axes, row: float, bar: Bar, end: float) -> None:
    """From the mean moment a timer in the app starts to the one it stops, with what it says."""
    assert bar.split.timer is not None  # noqa: S101 - the caller looked
    begin = bar.split.lag + bar.split.before_app
    stop = begin + bar.split.timer
    axes.plot([begin, begin, stop, stop], [row, row + 0.06, row + 0.06, row], color=INK, linewidth=1)
    far = stop > end / 2
    place = (stop, "right") if far else (begin, "left")
    axes.text(place[0], row + 0.09, f"server's timer {seconds(bar.split.timer)}", fontsize=7.5, color=INK, ha=place[1], va="top")


def rows(study: Study) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's numbers, every level."""
    head = ("variant", "users", "moments known", "mean", *NAMES, "of it served", "the server's timer")
    known = [bar for route in study.routes for level in route.levels if (bar := bar_of(route, level))]
    return head, [
        (
            look(bar.route.variant).name,
            str(bar.level.users),
            f"{bar.split.known:,} of {bar.split.count:,}",
            seconds(bar.split.total),
            *map(seconds, bar.parts),
            share(bar.working),
            seconds(bar.split.timer),
        )
        for bar in known
    ]
