"""The stacks of waiting requests as a tree: frames that all share stand together."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from results.judgement.waits import WaitStack

_SMALLEST = 0.5  # requests, or threads, on average, of a branch that is shown
_NO_FRAMES = "(no Python code)"


@dataclass(frozen=True, slots=True)
class WaitNode:
    """Frames in a row, the outermost first, and what lies below them."""

    count: float
    frames: tuple[str, ...]
    children: tuple["WaitNode", ...]


def build_tree(stacks: Sequence[WaitStack], pool: str = "") -> tuple[WaitNode, ...]:
    """Return the branches of the requests, or of a pool's threads, the largest first."""
    own = [(stack.frames or (_NO_FRAMES,), stack.count) for stack in stacks if stack.pool == pool]
    return _branches(own)


def _branches(stacks: Sequence[tuple[tuple[str, ...], float]]) -> tuple[WaitNode, ...]:
    groups: defaultdict[str, list[tuple[tuple[str, ...], float]]] = defaultdict(list)
    for frames, count in stacks:
        if frames:
            groups[frames[0]].append((frames[1:], count))
    nodes = [_node(first, rest) for first, rest in groups.items()]
    nodes.sort(key=lambda node: -node.count)
    return tuple(node for node in nodes if node.count >= _SMALLEST)


def _node(first: str, rest: Sequence[tuple[tuple[str, ...], float]]) -> WaitNode:
    count, frames = sum(count for _, count in rest), [first]
    # frames that all share, as far as none ends there
    while all(inner for inner, _ in rest) and len({inner[0] for inner, _ in rest}) == 1:
        frames.append(rest[0][0][0])
        rest = [(inner[1:], count) for inner, count in rest]
    return WaitNode(count, tuple(frames), _branches(rest))
