"""One spelling for text that people consider the same."""

from __future__ import annotations

import re
import unicodedata

# Letters that do not decompose into a letter and an accent: o with stroke, d with stroke, eth, ...
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
_WITHIN = str.maketrans(dict.fromkeys("'.`\u00b4\u2019\u02bc"))  # these do not separate words
_ACCENTS = re.compile("[\u0300-\u036f]")  # not the vowel signs of other scripts, which are letters
_SIGNS = re.compile("[^a-z0-9]+")


def normalise(text: str) -> str:
    """Return text in lower case, without accents, punctuation and extra spaces."""
    if text.isascii():
        return _SIGNS.sub(" ", text.lower().translate(_WITHIN)).strip()
    plain = unicodedata.normalize("NFKD", text).casefold().translate(_LETTERS).translate(_WITHIN)
    plain = unicodedata.normalize("NFC", _ACCENTS.sub("", plain))
    words = (sign if unicodedata.category(sign)[0] in "LMN" else " " for sign in plain)
    return " ".join("".join(words).split())
