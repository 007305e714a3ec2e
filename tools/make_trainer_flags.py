"""Write common/trainer_flags.py: the flags of the installed transformers' TrainingArguments.

    python tools/make_trainer_flags.py

Run it after changing the version of transformers in requirements.txt; a test compares the file with the library.
"""

import textwrap
from pathlib import Path

from transformers import HfArgumentParser, TrainingArguments

TARGET = Path(__file__).resolve().parents[1] / "common" / "trainer_flags.py"
DOCSTRING = '''"""Every flag of transformers.TrainingArguments, without importing transformers, which takes seconds.

Made by tools/make_trainer_flags.py.
"""
'''


def main():
    options = [action.option_strings[0] for action in HfArgumentParser(TrainingArguments)._actions]
    names = textwrap.fill(" ".join(option[2:] for option in options if option.startswith("--")), 115)
    TARGET.write_text(f'{DOCSTRING}\nTRAINER_FLAGS = """\n{names}\n""".split()\n', encoding="utf-8")


if __name__ == "__main__":
    main()
