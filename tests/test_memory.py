"""What a worker holds and imports: nothing that is left over from a round, and nothing it has no use for."""

import json
import shutil
import subprocess
import sys

from pisyft.learning.alphabet import TUTORIAL
from pisyft.learning.models import make_model
from pisyft.learning.vectors import to_vector
from pisyft.transport import WebsocketClientWorker
from tests.helpers import PATIENCE_SECONDS

# Runs `pisyft worker` until its standard input closes, then tells what it has imported.
WORKER = """
import json, sys
from pisyft.cli import main
main(["worker", "--id", "small", "--port", "0", "--data", sys.argv[1], "--until-stdin-closes"], standalone_mode=False)
print(json.dumps(sorted(sys.modules)))
"""
NOT_NEEDED = set(
    "matplotlib jupyter IPython ipykernel notebook pandas sklearn scipy sympy pytest requests.sessions urllib3 "
    "psutil._common torchvision torch._dynamo.eval_frame torch._inductor".split()
)


def test_a_worker_imports_nothing_that_it_has_no_use_for_also_when_it_trains(names_folder, tmp_path, hook):
    names = shutil.copytree(names_folder, tmp_path / "names")  # the worker writes down what it holds out
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(names)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(process.stdout.readline().partition("127.0.0.1:")[2].partition(":")[0])
        worker = WebsocketClientWorker(hook, "127.0.0.1", port, id="small")
        weights = to_vector(make_model("tutorial", TUTORIAL.size, 4)).detach().numpy()
        for optimizer in ("sgd", "adam"):
            settings = {"optimizer": optimizer, "learning_rate": 0.01}
            worker.call("fit", round="1", model="tutorial", weights=weights, settings=settings)
        worker.call("evaluate", weights=weights)
        worker.close()
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            stream.close()

    imported = json.loads(output)
    assert "torch.optim.sgd" in imported, "it did train"
    assert NOT_NEEDED & set(imported) == set()
