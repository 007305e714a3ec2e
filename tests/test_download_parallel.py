"""download_data.py on a mirror of FLORES-200, NTREX-128 and OPUS-100, and on into alignment, noise and training."""

import pytest
from hub_mirror import write_parallel
from test_download_data import download, lines, records

import download_data
import perturb
from heads import parallel
from heads.training_pairs import find_pairs
from hub.parallel import SETS, column_of, pair_of
from hub.tables import LICENSES, expected_rows

ALL = " ".join(SETS)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder of all three sets; the mirror lies beside it."""
    root = tmp_path_factory.mktemp("parallel")
    write_parallel(root / "mirror")
    assert download(root / "mirror", root / "data", tasks=ALL, languages="de sw ko tl yo") == 0
    return root / "data"


def test_files_are_those_that_the_repositories_have(data):
    written = {str(path.relative_to(data / "parallel")) for path in (data / "parallel").rglob("*") if path.is_file()}
    shared = {"flores200": "en de sw ko", "flores200_dev": "en de sw ko", "ntrex": "en de sw tl"}
    expected = {f"{name}/{code}.txt" for name, codes in shared.items() for code in codes.split()}
    expected |= {f"opus100/{split}.de-en.{code}" for split in ("train", "dev", "test") for code in ("de", "en")}
    assert written == expected | {"opus100/train.yo-en.yo", "opus100/train.yo-en.en"}
    assert set(records(data)) == {f"parallel/{name}" for name in written}


def test_lines_are_the_languages_own(data):
    assert lines(data / "parallel/flores200/sw.txt") == [f"swh_Latn devtest {i}" for i in range(3)]
    assert lines(data / "parallel/flores200_dev/ko.txt") == [f"kor_Hang dev {i}" for i in range(2)]
    assert lines(data / "parallel/ntrex/sw.txt") == [f"swa_Latn test {i}" for i in range(4)]
    assert lines(data / "parallel/ntrex/tl.txt") == [f"fil_Latn test {i}" for i in range(4)]
    # the third pair has an empty side: neither file has it
    own = ["de sentence 0 tab", "de sentence 1 tab", "de sentence 3 tab"]
    assert lines(data / "parallel/opus100/train.de-en.de") == own
    assert lines(data / "parallel/opus100/train.de-en.en") == ["en sentence 0", "en sentence 1", "en sentence 3"]
    assert lines(data / "parallel/opus100/train.yo-en.yo") == ["yo sentence 0", "yo sentence 1", "yo sentence 3"]
    assert lines(data / "parallel/opus100/train.yo-en.en") == [
        "en sentence 0 tab",
        "en sentence 1 tab",
        "en sentence 3 tab",
    ]


def test_the_manifest_tells_source_license_and_what_was_left_out(data):
    entries = records(data)
    for path, record in entries.items():
        assert record["license"] == LICENSES[path.split("/")[1]] and len(record["sha256"]) == 64
        assert record["repository"] in {hub.id for task in SETS.values() for hub in task.hub}
    assert entries["parallel/opus100/dev.de-en.en"]["changes"] == {"dropped: an empty side": 1}
    assert entries["parallel/opus100/dev.de-en.en"]["rows"] == 3
    assert entries["parallel/opus100/dev.de-en.en"]["config"] == "de-en"
    assert entries["parallel/opus100/train.yo-en.en"]["config"] == "en-yo"
    assert len(entries["parallel/flores200/de.txt"]["revision"]) == 40


def test_counts_of_the_whole_sets_are_firm(data, tmp_path, capsys):
    assert expected_rows("flores200/sw.txt") == (1012, True) and expected_rows("flores200_dev/sw.txt") == (997, True)
    assert expected_rows("ntrex/sw.txt") == (1997, True) and expected_rows("opus100/test.de-en.de") == (2000, False)
    assert download(data.parent / "mirror", tmp_path / "out", tasks="ntrex", languages="de", partial=False) == 1
    assert "4 rows in mteb/NTREXBitextMining" in capsys.readouterr().err


def test_a_language_that_is_not_there_is_told(data, tmp_path, capsys):
    assert download(data.parent / "mirror", tmp_path / "out", tasks="ntrex", languages="de sw yo") == 0
    assert "parallel/ntrex/yo.txt: not in mteb/NTREXBitextMining, left out" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert download(tmp_path / "empty", tmp_path / "none", tasks="flores200", languages="de") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "parallel/flores200/en.txt: no devtest split in mteb/FloresBitextMining" in error
    assert download(tmp_path / "empty", tmp_path / "none", tasks="floras200", languages="de") == 2
    assert "did you mean 'flores200'" in capsys.readouterr().err


def test_all_is_without_them(data):
    arguments = download_data.build_parser().parse_args
    names, _ = download_data.check(arguments(["--tasks", "all", "ntrex"]))
    assert "ntrex" in names and "xnli" in names and not {"opus100", "flores200"} & set(names)
    paths = {file.path for file in download_data.files_to_write(["opus100", "ntrex"], ["de", "ru"])}
    assert {"parallel/opus100/train.ru-en.ru", "parallel/ntrex/en.txt", "parallel/ntrex/ru.txt"} <= paths
    assert len(paths) == 2 * 3 * 2 + 3


def test_names_of_languages():
    assert column_of("zh", ["zho_Hant", "zho_Hans"]) == "zho_Hans" and column_of("fa", ["prs_Arab"]) is None
    assert column_of("ms", ["zsm_Latn"]) == "zsm_Latn" and column_of("ms", ["msa_Latn"]) == "msa_Latn"
    assert [pair_of(code) for code in ("de", "fr", "zh")] == ["de-en", "en-fr", "en-zh"]


# --- On into the other scripts


def test_alignment_reads_every_set(data):
    for name, codes in {"flores200": "de ko sw", "ntrex": "de sw tl", "opus100": "de"}.items():
        files = parallel.find_files(data / "parallel" / name, "en")
        assert sorted(files) == codes.split()
        own, english = parallel.read(files["de"])
        assert len(own) == len(english) > 0


def test_noise_reads_every_set(data, tmp_path):
    flags = ["--data_dir", str(data), "--output_dir", str(tmp_path / "noised"), "--tasks", "lines"]
    perturb.main([*flags, "--languages", "de", "sw", "--ops", "swap", "--levels", "3"])
    below = tmp_path / "noised/swap-3/parallel"
    for name in ("flores200/de.txt", "flores200/sw.txt", "ntrex/sw.txt", "opus100/test.de-en.de"):
        assert len(lines(below / name)) == len(lines(data / "parallel" / name))


def test_tlm_trains_on_the_pairs(data):
    pairs = find_pairs([data / "parallel/opus100"], "train")
    assert {code: [path.name for path in both[0]] for code, both in pairs.items()} == {
        "de": ["train.de-en.de", "train.de-en.en"],
        "yo": ["train.yo-en.yo", "train.yo-en.en"],
    }
