"""Pictures: what is drawn, and that they are pictures."""

import struct
import zlib

import pytest

from pisyft.plots import (
    accuracy_curves,
    confusion_matrices,
    confusion_matrix,
    gain_bars,
    histograms,
    language_bars,
    letter_changes,
    letters_of,
    loss_by_names,
    loss_curve,
    message_sizes,
    names_held,
    png,
)


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def chunks(picture: bytes) -> dict[bytes, bytes]:
    """The chunks of a PNG, by type (PNG specification, section 5). Fails where a checksum is wrong."""
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    found, position = {}, 8
    while position < len(picture):
        (length,) = struct.unpack(">I", picture[position : position + 4])
        kind, content = picture[position + 4 : position + 8], picture[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack(">I", picture[position + 8 + length : position + 12 + length])
        assert zlib.crc32(kind + content) == checksum
        found[kind] = found.get(kind, b"") + content
        position += 12 + length
    return found


@pytest.mark.parametrize(
    "figure",
    [
        loss_curve({"alice": [3.0, 2.0], "bob": [3.1, 1.9]}, 1.5),
        accuracy_curves({"alice": [(0, 0.1), (5, 0.5)]}, "Accuracy"),
        confusion_matrix([[3, 1], [0, 2]], ["Czech", "Irish"]),
        language_bars([0.1, 0.0, None], [0.6, 0.4, None], ["Czech", "Irish", "Korean"]),
        gain_bars({"alice": 0.3, "bob": 0.4}, {"alice": 0.5, "bob": 0.45}),
        confusion_matrices({each: [[3, 1], [0, 2]] for each in ("alice", "bob", "carol")}, ["Czech", "Irish"]),
        histograms({"shares": [1, 2, 2, 3], "numbers": [0.1, 0.2, 0.2]}, "value"),
        letter_changes({"memory": [0, 0.5, 0, 0.1], "guess": [0.2, 0, 0, 0]}, "abc "),
        loss_by_names({"here": [(0, 2.9), (1000, 2.0)]}, 18),
        message_sizes({"fetched": [(1, 90), (100, 490)], "added": [(1, 70), (100, 70)]}),
        names_held({"alice": [10, 0, 3], "bob": [5, 7, 3]}, ["Czech", "Irish", "Korean"]),
        letters_of("a c b", [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]], "abc "),
    ],
    ids=[
        *("loss", "accuracy", "confusion", "languages", "gain", "confusions", "histograms", "changes", "by-names"),
        *("messages", "held", "letters"),
    ],
)
def test_a_figure_becomes_a_complete_png(figure):
    found = chunks(png(figure))

    width, height = struct.unpack(">II", found[b"IHDR"][:8])
    assert width > 600 and height > 250
    assert len(set(zlib.decompress(found[b"IDAT"]))) > 10  # more than an empty page
    assert b"IEND" in found


def test_the_loss_of_every_worker_is_drawn_from_before_the_first_round():
    (axes,) = loss_curve({"alice": [3.0, 2.0, 1.0], "bob": [3.1, 2.1, 1.1]}).axes

    assert legend(axes) == ["alice", "bob"]
    alice, bob = axes.get_lines()
    assert list(alice.get_xdata()) == [0, 1, 2]
    assert list(alice.get_ydata()) == [3.0, 2.0, 1.0]
    assert list(bob.get_ydata()) == [3.1, 2.1, 1.1]


def test_axes_and_title_say_what_is_drawn():
    (axes,) = loss_curve({"alice": [3.0, 2.0]}).axes

    assert axes.get_xlabel() == "round"
    assert axes.get_ylabel() == "negative log-likelihood"
    assert "names to choose by" in axes.get_title(loc="left")


def test_rounds_are_whole_numbers():
    figure = loss_curve({"alice": [3.0, 2.0]})
    figure.canvas.draw()

    assert all(tick == int(tick) for tick in figure.axes[0].get_xticks())


def test_the_model_trained_in_one_place_is_a_line_across():
    (axes,) = loss_curve({"alice": [3.0, 2.0]}, central=1.5).axes

    assert legend(axes) == ["alice", "all names in one place\n(on test names)"]
    assert list(axes.get_lines()[-1].get_ydata()) == [1.5, 1.5]


def test_ten_workers_have_ten_lines_that_differ():
    (axes,) = loss_curve({f"pi-{number}": [3.0, 2.0 - number / 10] for number in range(10)}).axes

    assert legend(axes) == [f"pi-{number}" for number in range(10)]
    assert len({(line.get_color(), line.get_linestyle(), line.get_marker()) for line in axes.get_lines()}) == 10


def test_the_confusion_matrix_shows_parts_of_each_language():
    axes, _ = confusion_matrix([[3, 1, 0], [0, 2, 0], [0, 0, 0]], ["Czech", "Irish", "Korean"]).axes

    assert axes.images[0].get_array().tolist() == [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]]
    assert [text.get_text() for text in axes.texts] == ["75%", "25%", "100%", "–"]


def test_the_confusion_matrix_tells_the_mistakes_that_matter():
    axes, _ = confusion_matrix([[8, 1, 1], [0, 8, 2], [0, 0, 9]], ["Czech", "Irish", "Korean"]).axes

    assert [text.get_text() for text in axes.texts] == ["80%", "80%", "20%", "100%"]


def test_the_legend_of_many_lines_is_beside_them():
    few, many = (accuracy_curves({f"pi-{each}": [(0, 0.1), (1, 0.2)] for each in range(n)}, "").axes[0] for n in (4, 5))

    assert few.get_legend().get_bbox_to_anchor().x0 < many.get_legend().get_bbox_to_anchor().x0


def test_the_confusion_matrix_has_languages_on_both_axes_and_says_which_is_which():
    axes, bar = confusion_matrix([[3, 1], [0, 2]], ["Czech", "Irish"]).axes

    assert [label.get_text() for label in axes.get_xticklabels()] == ["Czech", "Irish"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Czech", "Irish"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("guessed", "language of the name")
    assert bar.get_ylabel() == "part of the language's names"


def test_accuracy_is_drawn_over_rounds_in_per_cent_of_all():
    (axes,) = accuracy_curves({"alice": [(0, 0.1), (5, 0.5)]}, "How it went").axes

    assert legend(axes) == ["alice"]
    assert (list(axes.get_lines()[0].get_xdata()), list(axes.get_lines()[0].get_ydata())) == ([0, 5], [0.1, 0.5])
    assert axes.get_ylim() == (0, 1)
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")) == ("round", "accuracy", "How it went")


def widths(axes) -> list[list[float]]:
    return [[bar.get_width() for bar in bars] for bars in axes.containers]


def test_every_language_has_a_bar_before_and_one_after():
    (axes,) = language_bars([0.1, 0.0, None], [0.6, 0.4, None], ["Czech", "Irish", "Korean"]).axes

    assert widths(axes) == [[0.1, 0.0, 0.0], [0.6, 0.4, 0.0]]
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["before", "after"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Czech", "Irish", "Korean"]
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["10%", "0%", "too few names", "60%", "40%", "too few names"]


def test_what_each_worker_gained_is_drawn_for_those_that_trained_alone_too():
    (axes,) = gain_bars({"alice": 0.3}, {"alice": 0.5, "bob": 0.45}).axes

    assert widths(axes) == [[0.3], [0.5]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["alice"]
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["trained alone", "trained together"]


def test_the_names_of_all_workers_add_up_in_one_bar_for_each_language():
    (axes,) = names_held({"alice": [10, 0], "bob": [5, 7]}, ["Czech", "Irish"]).axes

    assert [text.get_text() for text in axes.get_yticklabels()] == ["Czech", "Irish"]
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 10), (0, 0), (10, 5), (0, 7)]


def test_a_training_is_compared_with_guessing_at_random():
    (axes,) = loss_by_names({"here": [(0, 2.9), (1000, 2.0)]}, 18).axes

    assert legend(axes) == ["here", "guessing at random"]
    assert axes.get_lines()[1].get_ydata()[0] == pytest.approx(2.890, abs=1e-3)


def test_every_letter_that_changed_is_written_on_its_bar():
    above, below = letter_changes({"memory": [0, 0.5, 0, 0.1], "guess": [0.2, 0, 0, 0]}, "abcd").axes

    assert [text.get_text() for text in above.texts] == ["b", "d"]
    assert [text.get_text() for text in below.texts] == ["a"]
    assert [text.get_text() for text in below.get_xticklabels()] == list("abcd")


def test_confusion_matrices_stand_side_by_side_and_no_empty_one_is_seen():
    axes = confusion_matrices({each: [[3, 1], [0, 2]] for each in ("alice", "bob", "carol")}, ["Czech", "Irish"]).axes

    assert [each.get_title(loc="left") for each in axes if each.get_visible() and each.get_title(loc="left")] == [
        "alice",
        "bob",
        "carol",
    ]
    assert [each.get_visible() for each in axes[:4]] == [True, True, True, False]
