"""What a worker refuses, and by which rule: the names that stand in refusals, in the audit log and in its totals."""

from __future__ import annotations

from syft.exceptions import GetNotPermittedError

# By the name of each rule: what it keeps to. Names are for logs, and do not change.
RULES = {
    "login": "who calls proves who it is",
    "limit": "nobody takes more of a worker than its limits allow",
    "protocol": "what is sent is a message of PiSyft's protocol",
    "peer": "a peer is one that the worker's own configuration names",
    "peer-shares": "a peer may deliver shares, and nothing else",
    "verb": "what may be called by name is listed",
    "pointers": "the policy strict takes no pointers",
    "message": "a type of message that the policy does not list is refused",
    "operation": "an operation that the policy does not list is refused",
    "plain-tensors": "pointers are to plain tensors",
    "own": "nobody but their owner changes, replaces or removes the names on a worker",
    "private": "names, and what was computed from them, stay",
    "shares": "a sum of shares may be fetched once a share of each participant is in it",
    "value": "no operation returns a value that was computed from names",
    "send": "a worker sends other workers shares of a secret, and nothing else",
    "floor": "figures are over so many names, or more, as the owner's floor says",
    "busy": "a worker trains for one round at a time",
    "paused": "while its owner has it paused, a worker does not train, count or sum up",
    "round": "an update goes into one sum, over participants that the worker knows",
    "names": "the policy open keeps nothing private, and holds no names",
}


class NotPermitted(GetNotPermittedError):
    """A refusal: PySyft's, with the rule that it is by. The text says what is possible instead.

    Attributes:
        rule: one of RULES.
    """

    def __init__(self, rule: str, text: str) -> None:
        assert rule in RULES
        super().__init__(f"{text} (rule {rule})")
        self.rule = rule
