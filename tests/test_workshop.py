"""The first line of every notebook, and the names that `import pisyft` offers."""

import torch

import pisyft
from pisyft import workshop
from pisyft.lab import Lab
from tests.helpers import processes_about, run_python


def test_every_name_for_notebooks_is_there_and_none_is_imported_before_it_is_asked_for():
    for name in pisyft.__all__:
        assert getattr(pisyft, name).__name__ == name
        assert name in dir(pisyft)

    done = run_python(
        "-c", "import pisyft, sys; print('torch' in sys.modules); pisyft.RNN; print('torch' in sys.modules)"
    )
    assert done.stdout == "False\nTrue\n"


def test_a_name_that_is_not_there_is_told_as_python_tells_it():
    done = run_python("-c", "import pisyft; pisyft.Fedaration")

    assert "module 'pisyft' has no attribute 'Fedaration'" in done.stderr


def test_without_a_classroom_it_starts_a_lab_and_opening_again_closes_it(names_folder, hook):
    first = workshop.open_classroom(names=names_folder, lab=["pi-a", "pi-b"])
    assert repr(first).startswith("a lab on this machine, with 2 workers:\n  pi-a on 127.0.0.1:")
    tensor = torch.tensor([1.0, 2.0]).send(first.workers[0])
    assert (tensor + tensor).get().tolist() == [2.0, 4.0]
    folder = first.lab.folder

    # A cell that is run again: the same ids, at other addresses.
    with workshop.open_classroom(names=names_folder, lab=["pi-a", "pi-b"]) as second:
        assert processes_about(folder) == []
        assert not folder.exists()
        assert [worker.id for worker in second.workers] == ["pi-a", "pi-b"]
        second.unplug("pi-b")
        assert second.lab._processes["pi-b"].poll() is not None
        folder = second.lab.folder

    second.close()  # twice does no harm
    assert processes_about(folder) == []


def test_a_classroom_file_connects_to_the_pis_in_it_and_leaves_them_running(names_folder, hook, monkeypatch, capsys):
    with Lab(names_folder, ["pi-c", "pi-d"], certificates=True) as lab:
        folder = lab.folder / "classroom" / "coordinator"
        for given in (str(folder), folder / "classroom.toml"):
            with workshop.open_classroom(given) as room:
                assert room.lab is None
                assert room.pis == lab.addresses
                assert room.workers[1].call("describe")["worker"] == "pi-d"
        monkeypatch.setenv("PISYFT_CLASSROOM", str(folder))
        with workshop.open_classroom() as room:
            assert repr(room).startswith("the classroom 'lab', with 2 workers:")
            room.unplug("pi-d")
            assert capsys.readouterr().out == "Pull the plug of pi-d now.\n"
            assert room.workers[1].call("describe")["worker"] == "pi-d"
        with workshop.open_classroom(pis=False, names=names_folder, lab=["pi-e", "pi-f"]) as room:
            assert repr(room).startswith("a lab on this machine, with 2 workers:")


def test_traffic_is_what_went_over_the_network_in_a_with(workers, lab):
    alice, _ = workers
    room = workshop.Workshop(lab.classroom, lab)
    numbers = torch.rand(1000).send(alice)

    with room.traffic(workers) as traffic:
        fetched = numbers.get()

    assert len(fetched) == 1000
    assert 4000 < traffic.received < 4500
    assert 0 < traffic.sent < 500
    assert traffic.waited == 1
    assert str(traffic) == f"{traffic.sent} bytes sent, {traffic.received:,} bytes received, answers waited for: 1"
