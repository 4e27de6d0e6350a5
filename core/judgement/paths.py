"""Which changed paths are forbidden (domain.md §9): gitignore rules, hostile names.

Pure. A name is judged as it stands, and as file systems that fold case, Unicode, trailing dots,
invisible characters or short names would open it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pathspec import GitIgnoreSpec

from core.errors import Invalid
from core.judgement.changes import PathChange, shown_path
from core.judgement.folding import as_matched, foldings, short_names

HitKind = Literal["forbidden", "outside_allowed", "symlink_target", "escaping_symlink", "submodule"]

_MAX_LINKS = 40
_GIT_SHORT = short_names(())


@dataclass(frozen=True, slots=True)
class Hit:
    """A path that may not leave. ``rule`` is the pattern, or what stands in for one.

    ``path`` is the name as it was changed, made printable.
    """

    path: str
    rule: str
    kind: HitKind


class PathSet:
    """Gitignore patterns that a path is looked up in, whatever way its name may be read."""

    def __init__(self, patterns: Sequence[str], *, field: str = "patterns"):
        """Compile ``patterns``.

        Args:
            field: named in errors.

        Raises:
            Invalid: a pattern is a negation, or no gitignore pattern.
        """
        for index, pattern in enumerate(patterns):
            if pattern.lstrip().startswith("!"):
                raise Invalid(
                    f"{field}.{index}",
                    f"{pattern!r} is a negation: a list of paths can only be added to.",
                    recovery="Leave this entry out.",
                )
        self._patterns = tuple(patterns)
        self._short = short_names(self._patterns)
        self._spec = _spec([_folded_pattern(each) for each in self._patterns], field)

    def rule_for(self, path: str, *, folder: bool = False) -> str | None:
        """The pattern that holds for ``path``, or None.

        Args:
            folder: also ask for what would lie below it, as for a symlink or a submodule.
        """
        for name in foldings(path, self._short):
            found = self._rule(name)
            if found is None and folder:
                found = self._rule(f"{name}/x")
            if found is not None:
                return found
        return None

    def _rule(self, name: str) -> str | None:
        answer = self._spec.check_file(name)
        if not answer.include or answer.index is None:
            return None
        return self._patterns[answer.index]


class PathRules:
    """What is forbidden, and where a change is allowed at all if that is limited."""

    def __init__(self, forbidden: Sequence[str], allowed: Sequence[str] | None = None):
        """Compile the lists.

        Args:
            forbidden: the defaults and whatever the repo adds; negations are refused.
            allowed: None for anywhere. An empty list allows nothing. Matched as written.

        Raises:
            Invalid: a pattern does not fit.
        """
        self._forbidden = PathSet(forbidden, field="forbidden_paths")
        self._allowed = None if allowed is None else _spec(allowed, "allowed_paths")

    def check(self, changed: Iterable[PathChange]) -> list[Hit]:
        """Every hit, in the order of ``changed``; one path may hit more than once."""
        changes = tuple(changed)
        links = {
            each.path: each.symlink_target for each in changes if each.symlink_target is not None
        }
        hits: list[Hit] = []
        for each in changes:
            hits += self._names(each)
            if each.is_symlink:
                hits += self._target(each, links)
            if each.touches_submodule:
                hits.append(Hit(shown_path(each.path), "submodule", "submodule"))
        return list(dict.fromkeys(hits))

    def _names(self, change: PathChange) -> Iterable[Hit]:
        folder = change.is_symlink or change.touches_submodule
        for name in change.names:
            rule = self._rule(name, folder=folder)
            if rule is not None:
                yield Hit(shown_path(name), rule, "forbidden")
            if not self._is_allowed(name):
                yield Hit(shown_path(name), "allowed_paths", "outside_allowed")

    def _target(self, change: PathChange, links: Mapping[str, str]) -> Iterable[Hit]:
        shown = shown_path(change.path)
        target = None
        if change.symlink_target is not None:
            target = _resolve(change.path, change.symlink_target, links)
        if target is None:
            yield Hit(shown, shown_path(change.symlink_target or "?"), "escaping_symlink")
            return
        rule = "." if not target else self._rule(target, folder=True)
        if rule is not None:
            yield Hit(shown, rule, "symlink_target")
        elif not self._is_allowed(target):
            yield Hit(shown, "allowed_paths", "outside_allowed")

    def _rule(self, name: str, *, folder: bool) -> str | None:
        rule = self._forbidden.rule_for(name, folder=folder)
        if rule is None and any(".git" in each.split("/") for each in foldings(name, _GIT_SHORT)):
            return ".git/**"
        return rule

    def _is_allowed(self, name: str) -> bool:
        return self._allowed is None or self._allowed.match_file(as_matched(name))


def _spec(patterns: Sequence[str], field: str) -> GitIgnoreSpec:
    for index, pattern in enumerate(patterns):
        try:
            GitIgnoreSpec.from_lines([pattern], backend="simple")
        except ValueError as error:
            raise Invalid(
                f"{field}.{index}",
                f"{pattern!r} is not a gitignore pattern.",
                recovery="Write it as in a .gitignore file, for example 'docs/**'.",
            ) from error
    return GitIgnoreSpec.from_lines(patterns, backend="simple")


def _folded_pattern(pattern: str) -> str:
    return next(iter(foldings(pattern.rstrip("\n"), plain=True)))


def _resolve(link: str, target: str, links: Mapping[str, str]) -> str | None:
    """Where a symlink leads inside the checkout (empty: to its root); None if that is not sure.

    ``..`` is followed only before the first name: what it means after one depends on whether
    that name is a symlink on the disk where it is opened.
    """
    for _ in range(_MAX_LINKS):
        joined = _joined(link, target.replace("\\", "/"))
        if joined is None:
            return None
        step = _first_link(joined, links)
        if step is None:
            return "/".join(joined)
        link = "/".join(joined[:step])
        target = "/".join((links[link].replace("\\", "/").rstrip("/"), *joined[step:]))
    return None


def _first_link(parts: Sequence[str], links: Mapping[str, str]) -> int | None:
    for end in range(1, len(parts) + 1):
        if "/".join(parts[:end]) in links:
            return end
    return None


def _joined(link: str, target: str) -> list[str] | None:
    if not target or target.startswith("/") or target[1:2] == ":" or "\0" in target:
        return None
    folder = link.split("/")[:-1]
    names: list[str] = []
    for part in target.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            names.append(part)
        elif names or not folder:
            return None
        else:
            folder.pop()
    return folder + names
