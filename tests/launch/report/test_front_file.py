"""The front as JSON and CSV, written and read back."""

from __future__ import annotations

import csv
import json
import math

import pytest

from launch.records import Finished
from launch.report import front_table, gone, gone_in_words, load_front, write_report
from searchspace import CompressConfig
from searchspace.compression import Unpruned
from tests.launch.report.studies import STUDY, outcome, record


def test_front_json_holds_the_front_and_the_counts(tmp_path):
    files = write_report(tmp_path, STUDY, title="A study", facts={})
    front = json.loads(files.json.read_text())

    assert files.json == tmp_path / "front.json"
    assert front["objectives"] == ["ap_small", "fps"]
    assert front["trials"] == {"finished": 4, "failed": 1, "running": 1}
    assert [member["number"] for member in front["front"]] == [1, 2]
    assert front["front"][1] == {
        "number": 2,
        "folder": "trials/0002",
        "origin": "sampler",
        "figures": {
            "ap": 0.3, "ap50": 0.5, "ap_small": 0.12, "ap_tiny": None, "ap_very_tiny": None,
            "ap_medium": 0.4, "ap_large": None, "ar_small": 0.2, "fps": 100,
            "latency_ms": 10, "params": 1_234_567, "macs": 98_765_432,
        },
        "intervals": {},
        "epochs": [100, 20],
        "referee": "not checked",
        "still_rising": None,
        "config": STUDY[2].config.model_dump(mode="json"),
    }  # fmt: skip
    # Two rectangles: 0.12 wide up to ln 100, and a further 0.08 up to ln 55.
    expected = 0.12 * math.log(100) + 0.08 * math.log(55)
    assert front["hypervolume"] == pytest.approx(expected)


def test_front_csv_has_figures_and_searched_parameters_as_columns(tmp_path):
    files = write_report(tmp_path, STUDY, title="A study", facts={})
    with files.csv.open(newline="") as lines:
        rows = list(csv.DictReader(lines))

    assert [row["number"] for row in rows] == ["1", "2"]
    assert float(rows[0]["ap_small"]) == 0.20
    assert rows[0]["ap_large"] == ""
    assert rows[0]["detector.width"] == "0.5"
    assert rows[0]["compress.pruning.slimming.ratio"] == ""
    assert rows[1]["compress.pruning.slimming.ratio"] == "0.4"
    told = [(row["epochs"], row["finetune_epochs"], row["still_rising"]) for row in rows]
    assert told == [("100", "0", ""), ("100", "20", "")]


def test_load_front_reads_back_what_was_written(tmp_path):
    write_report(tmp_path, STUDY, title="A study", facts={})
    front = load_front(tmp_path)

    assert front.trials == {"finished": 4, "failed": 1, "running": 1}
    unpruned, pruned = front.members
    assert unpruned.folder == tmp_path / "trials/0001"
    assert unpruned.detector == tmp_path / "trials/0001/dense"
    assert pruned.detector == tmp_path / "trials/0002/compact"
    assert pruned.config == STUDY[2].config
    assert (pruned.figures.ap_small, pruned.figures.fps) == (0.12, 100)
    assert (unpruned.epochs, pruned.epochs) == ((100, 0), (100, 20))


def test_a_front_of_an_earlier_version_is_read_without_epochs(tmp_path):
    file = write_report(tmp_path, STUDY, title="A study", facts={}).json
    front = json.loads(file.read_text())
    for member in front["front"]:
        del member["epochs"], member["still_rising"]
    file.write_text(json.dumps(front))
    assert [member.epochs for member in load_front(tmp_path).members] == [None, None]


def test_an_unpruned_detector_that_was_trained_on_is_the_compact_one(tmp_path):
    compress = CompressConfig(pruning=Unpruned(finetune_epochs=2))
    first = record(1, 0.2)
    config = first.config.changed(compress=compress)
    result = first.result.model_copy(
        update={"config": config, "compact": outcome(0.25, 50), "dense": outcome(0.2, 50)}
    )
    trained_on = first.model_copy(update={"config": config, "ending": Finished(result=result)})
    write_report(tmp_path, [trained_on], title="A study", facts={})
    [member] = load_front(tmp_path).members
    assert member.detector == tmp_path / "trials/0001/compact"
    assert (member.epochs, member.still_rising) == ((100, 2), True)
    page = (tmp_path / "report.html").read_text()
    for text in (
        "dense, 100 epochs",
        "trained on, 100 + 2",
        "AP_small +0.050 in epochs 101 to 102",
    ):
        assert text in page
    assert "Pruning removed" not in page


def test_a_member_whose_detector_is_gone_says_so_and_how_it_is_made_again(tmp_path):
    write_report(tmp_path, STUDY, title="A study", facts={})
    (tmp_path / "trials/0002/compact").mkdir(parents=True)
    lost, kept = load_front(tmp_path).members

    assert (lost.is_there, kept.is_there) == (False, True)
    with pytest.raises(ValueError, match=r"0001/dense: there is no such folder; run_trial with"):
        lost.load()
    assert gone(tmp_path, STUDY) == {0, 1, 3}
    page = (tmp_path / "report.html").read_text()
    assert page.count("Its detector is gone:") == 2, "both were when it was written"


def test_detectors_that_are_gone_are_marked_in_the_table():
    table = front_table(STUDY, gone={0, 2})
    words = [str(cell) for cell in table.columns[-1].cells]
    assert ["its detector is gone" in text for text in words] == [False, True, True]
    assert gone_in_words([3]).startswith("The detector of trial 3 is gone from its folder; ")
    assert gone_in_words([5, 3]).startswith("The detectors of trials 3, 5 are gone")
    assert gone_in_words([]) == ""


def test_load_front_says_where_the_file_should_be(tmp_path):
    with pytest.raises(ValueError, match=r"front\.json: no such file; give the folder of a study"):
        load_front(tmp_path)


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        (lambda text: text[: len(text) // 2], r"line \d+ column \d+: the JSON is cut off"),
        (lambda text: text.replace('"fps": 55.0', '"fps": "fast"'), r"front\.0\.figures\.fps"),
        (lambda text: text.replace('"hypervolume"', '"volume"'), "hypervolume"),
    ],
)
def test_load_front_names_what_is_damaged(tmp_path, damage, place):
    path = write_report(tmp_path, STUDY, title="A study", facts={}).json
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=rf"front\.json: {place}.* write the study's report again"):
        load_front(tmp_path)


def test_writing_again_replaces_all_files_and_leaves_nothing_else(tmp_path):
    write_report(tmp_path, STUDY[:1], title="A study", facts={})
    write_report(tmp_path, STUDY, title="A study", facts={})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"front.json", "front.csv", "report.html"}
    assert len(load_front(tmp_path).members) == 2
