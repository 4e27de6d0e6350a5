"""Whether an added line of source opens or uses a connection, by the words of its language.

Pure and linear in the line: words are matched whole, comments and texts are not told apart.
"""

import re
from functools import lru_cache

from core.judgement.changes import AddedLine
from core.policy import RiskPolicy


def opens_connection(line: AddedLine, policy: RiskPolicy) -> bool:
    """Whether ``line`` holds a network word of its file's language (domain.md §10)."""
    name = line.path.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem:
        return False
    for language in policy.languages.values():
        if extension.casefold() in language.extensions:
            return (
                bool(language.network) and _any_of(language.network).search(line.text) is not None
            )
    return False


@lru_cache(maxsize=64)
def _any_of(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(_whole(each) for each in sorted(words, key=len, reverse=True)))


def _whole(word: str) -> str:
    before = r"(?<!\w)" if word[0].isalnum() else ""
    after = r"(?!\w)" if word[-1].isalnum() else ""
    return f"{before}{re.escape(word)}{after}"
