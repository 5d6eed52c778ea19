"""What verbs do to a container when several come at once: some order of them must explain what they answered and the
state that is left."""

from __future__ import annotations

import itertools

FIRST_OF_FORCE = "signal of delete -f"
NONE, CREATED, RUNNING, DYING, STOPPED = "none", "created", "running", "dying", "stopped"
"""DYING: a signal that ends it is on its way: it may still be what it was, or be stopped already. While it is paused a
state has PAUSE behind it."""
PAUSE = " paused"
Result = tuple[bool, str]


def results(verb: str, state: str) -> set[Result]:
    """(it succeeds, the state then): what a verb may do alone."""
    stays = {(True, state)}
    fails = {(False, state)}
    if state.endswith(PAUSE) and verb in ("start", "exec", "delete", "pause"):
        return fails
    match verb, state.removesuffix(PAUSE):
        case "create", "none":
            return {(True, CREATED)}
        case "start", "created":
            return {(True, RUNNING)}
        case (("kill" | "kill -9"), ("created" | "running" | "dying")):
            return {(True, DYING)} | (fails if state == DYING else set())
        case "delete", ("created" | "stopped"):
            return {(True, NONE)}
        case "delete -f", _:
            return {(True, NONE)}
        case "signal of delete -f", ("created" | "running"):
            return {(True, DYING)}
        case "signal of delete -f", _:
            return stays
        case (("start" | "exec" | "pause"), "dying"):
            return stays | fails
        case "pause", ("created" | "running"):
            return {(True, state + PAUSE)}
        case "delete", "dying":
            return {(True, NONE)} | fails
        case "exec", ("created" | "running"):
            return stays
        case "state", _:
            return fails if state == NONE else stays
        case "list", _:
            return stays
        case _:
            return fails


def _signals_come_first(order: tuple[tuple[str, bool], ...]) -> bool:
    """`delete -f` is two steps, and between them others may find the container stopped, or delete it."""
    signals = removals = 0
    for verb, is_done in order:
        signals += verb == FIRST_OF_FORCE
        removals += verb == "delete -f" and is_done
        if removals > signals:
            return False
    return True


def explained(state: str, outcomes: list[tuple[str, bool]]) -> set[str]:
    """The states that these verbs, all at once, may lead to. While `create` is at work, whatever comes in its way may
    fail, and `create` itself does if it is killed."""
    has_create = any(verb == "create" for verb, _ in outcomes)
    found = set()
    steps = [*outcomes, *((FIRST_OF_FORCE, True) for verb, is_done in outcomes if verb == "delete -f" and is_done)]
    for order in set(itertools.permutations(steps)):
        if not _signals_come_first(order):
            continue
        states = {state}
        for verb, is_done in order:
            after = {then for one in states for did, then in results(verb, one) if did == is_done}
            if has_create and not is_done and verb != "delete -f":
                after |= states
            states = after
        found |= states
    return {STOPPED if one == DYING else one.removesuffix(PAUSE) for one in found}
