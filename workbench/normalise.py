"""One spelling for text that people would call the same."""

from __future__ import annotations

import re
import unicodedata

# Letters that do not come apart into a letter and an accent: o with stroke, d with stroke, eth, ...
_LETTERS = str.maketrans(
    {
        "\u00f8": "o",
        "\u0111": "d",
        "\u00f0": "d",
        "\u0142": "l",
        "\u0127": "h",
        "\u0131": "i",
        "\u00e6": "ae",
        "\u0153": "oe",
        "\u00fe": "th",
    }
)
# Apostrophes and dots stand within a word, they do not part it.
_WITHIN = str.maketrans(dict.fromkeys("'.`\u00b4\u2019\u02bc"))
_ACCENTS = re.compile("[\u0300-\u036f]")  # not the vowel signs of other scripts, which are letters


def normalise(text: str, *, punctuation: bool = False) -> str:
    """Return text in lower case, without accents and needless spaces, and without punctuation unless that is kept."""
    plain = unicodedata.normalize("NFKD", text).casefold().translate(_LETTERS)
    if not punctuation:
        plain = plain.translate(_WITHIN)
    plain = unicodedata.normalize("NFC", _ACCENTS.sub("", plain))
    if not punctuation and not plain.isalnum():
        plain = "".join(sign if unicodedata.category(sign)[0] in "LMN" else " " for sign in plain)
    return " ".join(plain.split())
