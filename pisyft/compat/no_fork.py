"""Shared products without forking: PySyft's process pools, run in the calling process."""

from types import SimpleNamespace

from pisyft.compat.registry import Moment, repair


class _InProcessPool:
    """What PySyft uses of `multiprocessing.Pool`, one call after the other. torch parallelises the products itself."""

    def map(self, function, arguments) -> list:
        return [function(each) for each in arguments]

    def starmap(self, function, arguments) -> list:
        return [function(*each) for each in arguments]

    def close(self) -> None:
        pass

    def join(self) -> None:
        pass


@repair(
    Moment.AFTER_IMPORT,
    upstream="Python 3.12 warns of `fork` in a process with threads, which PyTorch and a server have",
    broke="a shared matmul forks one process a core for each call, and can hang for ever in the child",
)
def process_pools() -> None:
    import syft
    from syft.frameworks.torch.mpc import fss, spdz

    in_process = SimpleNamespace(Pool=_InProcessPool, cpu_count=lambda: 1)
    spdz.multiprocessing = in_process
    fss.multiprocessing = in_process
    syft.pool = _InProcessPool
    # One slice, computed here: slicing only served the pool.
    spdz.N_CORES = fss.N_CORES = 1
