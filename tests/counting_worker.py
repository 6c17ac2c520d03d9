"""`pisyft worker` with one more verb, `count`: how much of everything the worker holds."""

import dataclasses
import gc
import sys
import threading

from pisyft.cli import main
from pisyft.compat import lean

leave_out = lean.leave_out_what_workers_do_not_need


def leave_out_and_count() -> None:
    """What `pisyft worker` calls before it imports PySyft, and then whatever makes a worker count."""
    leave_out()

    import torch

    import pisyft.worker

    make = pisyft.worker.make_worker

    def make_counting_worker(*args, **kwargs):
        worker = make(*args, **kwargs)
        rounds = worker.find_verb("aggregate", worker._caller).__wrapped__.__self__._rounds

        def count(calling) -> dict:
            gc.collect()
            store, sessions = worker.object_store, worker._sessions._sessions.values()
            return {
                "objects": len(store._objects),
                "tagged objects": sum(map(len, store._tag_to_object_ids.values())),
                "reasons for objects that are not there": len(store._reasons),
                "objects on callers' accounts": sum(map(len, store._holdings)),
                "bytes on callers' accounts": sum(each.bytes for each in store._holdings),
                "labels": len(worker.labels._labels),
                "labelled tensors": sum(worker.labels._tensors.values()),
                "arriving tensors": len(worker.arriving),
                "tensors": sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects()),
                "sessions": len(sessions),
                "callers' accounts": len(store._holdings),
                "threads": threading.active_count(),
                "rounds under way": int(rounds.running is not None),
                "rounds of the past": len(rounds.ledger._rounds),
                "known workers": len(worker._known_workers),
            }

        worker._verbs["count"] = count
        worker.policy = dataclasses.replace(worker.policy, verbs=worker.policy.verbs | {"count"})
        return worker

    pisyft.worker.make_worker = make_counting_worker


if __name__ == "__main__":
    lean.leave_out_what_workers_do_not_need = leave_out_and_count
    main(["worker", *sys.argv[1:]])
