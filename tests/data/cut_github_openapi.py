"""Cuts GitHub's OpenAPI description down to the paths that the product asks.

Usage: ``python tests/data/cut_github_openapi.py FILE``, where FILE is ``api.github.com.json`` of
the npm package ``@octokit/openapi`` (23.0.2 was used; MIT, as the result is). There is no path that
merges, on purpose: a proxy that checks against the result answers 404 to anyone who tries.
"""

import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("github-openapi.json")
_PULLS = "/repos/{owner}/{repo}/pulls"
_ISSUE = "/repos/{owner}/{repo}/issues/{issue_number}"
_COMMIT = "/repos/{owner}/{repo}/commits/{ref}"
KEPT = {
    "/repos/{owner}/{repo}": ("get",),
    "/repos/{owner}/{repo}/branches/{branch}": ("get",),
    _PULLS: ("get", "post"),
    f"{_PULLS}/{{pull_number}}": ("get",),
    f"{_ISSUE}/comments": ("get", "post"),
    f"{_ISSUE}/labels": ("get", "post"),
    f"{_COMMIT}/check-runs": ("get",),
    f"{_COMMIT}/status": ("get",),
    "/rate_limit": ("get",),
    "/user": ("get",),
}
# What a machine does not check: words, samples, and notes to code generators.
_WORDS = frozenset({"description", "summary", "example", "examples", "externalDocs", "tags"})
# Every GitHub client accepts this type; the description knows the plain one only.
_SECOND_TYPE = "application/vnd.github+json"


def main(source: Path) -> None:
    """Read the whole, write the cut."""
    whole = json.loads(source.read_bytes())
    paths = {p: {m: whole["paths"][p][m] for m in methods} for p, methods in KEPT.items()}
    cut = {
        "openapi": whole["openapi"],
        "info": {"title": "GitHub, the paths in use", "version": whole["info"]["version"]},
        "paths": _with_second_type(_plain(paths)),
    }
    components: dict[str, Any] = {}
    todo = sorted(_references(cut["paths"]))
    while todo:
        _, _, kind, name = todo.pop().split("/")
        if name in components.setdefault(kind, {}):
            continue
        components[kind][name] = _with_second_type(_plain(whole["components"][kind][name]))
        todo += sorted(_references(components[kind][name]))
    cut["components"] = components
    _describe(components["responses"])
    for path in cut["paths"].values():
        for operation in path.values():
            _describe(operation["responses"])
    TARGET.write_text(json.dumps(cut, separators=(",", ":"), sort_keys=True) + "\n", "utf-8")


def _plain(value: Any, *, named: bool = False) -> Any:
    """Without words; ``named`` says that the keys are names that someone chose."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _plain(each, named=key in ("properties", "patternProperties") and not named)
        for key, each in value.items()
        if named or not (key in _WORDS or key.startswith("x-"))
    }


def _with_second_type(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_second_type(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: _with_second_type(each) for key, each in value.items()}
    content = found.get("content")
    if isinstance(content, dict) and "application/json" in content:
        found["content"] = {**content, _SECOND_TYPE: content["application/json"]}
    return found


def _describe(responses: dict[str, Any]) -> None:
    """A response must have a description, and its words were taken out."""
    for response in responses.values():
        if "$ref" not in response:
            response["description"] = ""


def _references(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_references, value))
    if not isinstance(value, dict):
        return set()
    own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
    return own.union(*map(_references, value.values()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
