"""Compare perturb.py's engine with other noise tools: speed, realised rate, tokens kept, orphan marks.

    python benchmarks/noise.py --text_dir TEXT --peers nlpaug=ENV1/bin/python textnoisr=ENV2/bin/python glitchlings=ENV3/bin/python

TEXT holds <lang>.txt, one sentence a line, for en, hi, th, ar, zh, ta, ko. Each peer runs in its own environment (pip
install nlpaug, textnoisr, glitchlings), at about 2 % of characters, with every sentence as one call and one process.
Speed: 10,000 English sentences of about 77 characters, wall time, best of --rounds. The rest: the first 300 sentences
of each language. Errors are counted in grapheme clusters by the same code for all tools.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LANGUAGES = ("en", "hi", "th", "ar", "zh", "ta", "ko")
OURS = ("keyboard", "swap", "delete", "insert", "mixed")


def ours(op):
    sys.path.insert(0, str(ROOT))
    from noise import NoiseError, Noiser

    def noise_all(texts, lang):
        try:
            noiser = Noiser(op, 2, lang)
        except NoiseError:
            return None
        return [noiser(text, str(index))[0] for index, text in enumerate(texts)]

    return noise_all


def nlpaug():
    import nlpaug.augmenter.char as character

    augmenter = character.KeyboardAug(
        aug_char_p=0.05, aug_word_p=0.1, include_special_char=False, include_numeric=False
    )
    return lambda texts, lang: [(augmenter.augment(text) or [text])[0] for text in texts]


def textnoisr(**options):
    from textnoisr import noise

    augmenter = noise.CharNoiseAugmenter(noise_level=0.02, seed=0, **options)
    return lambda texts, lang: [augmenter.add_noise(text) for text in texts]


def glitchlings():
    from glitchlings import Typogre

    glitchling = Typogre(rate=0.02, seed=0)
    return lambda texts, lang: [glitchling(text) for text in texts]


PEERS = {
    "nlpaug": nlpaug,
    "textnoisr": textnoisr,
    "textnoisr_swap": lambda: textnoisr(actions=["swap"]),
    "glitchlings": glitchlings,
}


def work(name, rounds):
    """In a peer's environment: read {lang: texts} from stdin, write {"seconds", "texts": {lang: noised}}."""
    asked = json.load(sys.stdin)
    noise_all = PEERS[name]() if name in PEERS else ours(name)
    noise_all(asked["speed"][:200], "en")  # warm up
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        noise_all(asked["speed"], "en")
        seconds.append(time.perf_counter() - started)
    json.dump(
        {"seconds": min(seconds), "texts": {lang: noise_all(texts, lang) for lang, texts in asked["texts"].items()}},
        sys.stdout,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text_dir", type=Path)
    parser.add_argument("--peers", nargs="*", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work(args.worker, args.rounds)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from noise_checks import error_rate, faults

    texts = {lang: (args.text_dir / f"{lang}.txt").read_text(encoding="utf-8").split("\n")[:300] for lang in LANGUAGES}
    lines = [line for line in (args.text_dir / "en.txt").read_text(encoding="utf-8").split("\n") if len(line) > 60]
    speed = [line[: line.rfind(" ", 0, 85)] if len(line) > 85 else line for line in lines]
    speed = (speed * (10_000 // len(speed) + 1))[:10_000]
    print(f"{len(speed)} sentences of {sum(map(len, speed)) / len(speed):.0f} characters")
    names = " / ".join(LANGUAGES[1:])
    print(
        f"| tool | sentences/s | rate en | tokens kept | rate {names} | new illegal sequences {names} "
        "|\n|---|---|---|---|---|---|"
    )
    runs = [(f"**ours, {op}**", op, sys.executable) for op in OURS] + [
        (name, name, python) for name, _, python in (peer.partition("=") for peer in args.peers)
    ]
    for title, name, python in runs:
        command = [python, __file__, "--worker", name, "--rounds", str(args.rounds)]
        done = subprocess.run(
            command, input=json.dumps({"speed": speed, "texts": texts}), capture_output=True, text=True
        )
        if done.returncode:
            print(f"| {title} | failed: {done.stderr.strip().splitlines()[-1]} |")
            continue
        result = json.loads(done.stdout[done.stdout.index('{"seconds"') :])
        rates, orphans = [], []
        for lang in LANGUAGES:
            new = result["texts"][lang]
            pairs = list(zip(texts[lang], new)) if new else []
            rates.append(f"{error_rate(pairs[:100]):.3f}" if pairs else "n/a")
            wrong = sum(sum((faults(b) - faults(a))[name] for name in MARKS) for a, b in pairs)
            orphans.append(str(wrong) if pairs else "n/a")
        kept = sum(len(a.split()) == len(b.split()) for a, b in zip(texts["en"], result["texts"]["en"])) / len(
            texts["en"]
        )
        print(
            f"| {title} | {len(speed) / result['seconds']:,.0f} | {rates[0]} | {kept:.3f} | {' / '.join(rates[1:])} "
            f"| {' / '.join(orphans[1:])} |"
        )


MARKS = (
    "mark without a letter",
    "mark of another script on a Latin letter",
    "two tone marks",
    "two vowel signs",
    "virama before a vowel sign",
    "lead vowel before no consonant",
)

if __name__ == "__main__":
    main()
