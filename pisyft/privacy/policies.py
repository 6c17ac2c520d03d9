"""Policies: what a worker answers at all, as data. What is not listed is refused."""

from __future__ import annotations

from dataclasses import dataclass

from pisyft.privacy import operations

# "ping" tells the time and returns what was sent: is the worker there, and is its clock right?
_VERBS = frozenset({"describe", "fit", "aggregate", "evaluate", "release", "ping"})
_PEER_VERBS = frozenset({"deliver", "ping"})
_POINTERS = frozenset(
    "TensorCommandMessage ObjectMessage ObjectRequestMessage ForceObjectDeleteMessage IsNoneMessage GetShapeMessage "
    "SearchMessage".split()
)


@dataclass(frozen=True)
class Policy:
    """What a worker answers.

    Attributes:
        name: by which it is chosen.
        summary: one line.
        verbs, peer_verbs: what coordinators, and what peers, may call by name.
        messages, peer_messages: the types of PySyft's messages that they may send; none of them is no pointers.
        methods, functions: the operations that pointers may have executed.
        guards: whether labels decide what leaves. A worker that does not guard holds no names.
    """

    name: str
    summary: str
    verbs: frozenset[str] = _VERBS
    peer_verbs: frozenset[str] = _PEER_VERBS
    messages: frozenset[str] = frozenset()
    peer_messages: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    guards: bool = True


STRICT = Policy("strict", "verbs, and no pointers")
TEACH = Policy(
    "teach",
    "pointers may compute on the names as well, and what they compute stays",
    messages=_POINTERS,
    peer_messages=frozenset({"ObjectMessage", "ForceObjectDeleteMessage"}),
    methods=operations.METHODS,
    functions=operations.FUNCTIONS,
)
OPEN = Policy(
    "open",
    "for demonstrations: everything may be fetched, and there are no names",
    verbs=frozenset({"ping"}),
    peer_verbs=frozenset({"ping"}),
    messages=_POINTERS,
    peer_messages=frozenset({"ObjectMessage", "ForceObjectDeleteMessage"}),
    methods=operations.METHODS,
    functions=operations.FUNCTIONS,
    guards=False,
)

POLICIES = {policy.name: policy for policy in (STRICT, TEACH, OPEN)}
