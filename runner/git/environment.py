"""The environment that every git process gets, made from nothing. It starts no process.

No configuration but ours is read: not the system's, the user's, nor (through explicit git folders
that we wrote ourselves) that of a repository. The overrides below are the second line.
"""

import os
from collections.abc import Mapping
from pathlib import Path

_OVERRIDES: Mapping[str, str] = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.sshCommand": "false",
    "core.askPass": "false",
    "core.editor": "false",
    "core.pager": "cat",
    "core.symlinks": "true",
    "core.fileMode": "true",
    "core.autocrlf": "false",
    "core.safecrlf": "false",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "core.logAllRefUpdates": "false",
    "core.splitIndex": "false",
    "core.sparseCheckout": "false",
    "core.quotePath": "true",
    "core.commitGraph": "true",
    "credential.helper": "",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "push.gpgSign": "false",
    "push.followTags": "false",
    "push.recurseSubmodules": "no",
    "fetch.recurseSubmodules": "false",
    "fetch.writeCommitGraph": "false",
    "fetch.fsckObjects": "false",
    "submodule.recurse": "false",
    "status.submoduleSummary": "false",
    "gc.auto": "0",
    "gc.worktreePruneExpire": "never",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "protocol.ext.allow": "never",
    "protocol.version": "2",
    "http.followRedirects": "false",
    "http.emptyAuth": "false",
    "http.saveCookies": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
    "index.threads": "true",
    "merge.renames": "true",
    "merge.directoryRenames": "conflict",
    "merge.conflictStyle": "merge",
    "diff.renames": "true",
    "diff.renameLimit": "1000",
    "diff.algorithm": "myers",
    "diff.mnemonicPrefix": "false",
    "diff.noprefix": "false",
    "diff.ignoreSubmodules": "none",
    "color.ui": "false",
    "advice.detachedHead": "false",
    "feature.experimental": "false",
    "worktree.guessRemote": "false",
    "filter.lfs.smudge": "",
    "filter.lfs.clean": "",
    "filter.lfs.process": "",
    "filter.lfs.required": "false",
}


def clean_path(path: str) -> str:
    """The absolute entries of a ``PATH``: a relative one would be looked up in a work tree."""
    kept = [entry for entry in path.split(os.pathsep) if entry.startswith("/")]
    return os.pathsep.join(kept) or os.defpath


def git_environment(
    *, home: Path, scratch: Path, path: str, settings: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The whole environment of a git process that may reach nothing outside.

    Args:
        home: an empty folder.
        scratch: where git may keep temporary files.
        path: the ``PATH`` to look for git's own programs in.
        settings: configuration on top of the overrides, by dotted key.
    """
    environment = {
        "PATH": clean_path(path),
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "TMPDIR": str(scratch),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "false",
        "SSH_ASKPASS": "false",
        "GIT_EDITOR": "false",
        "GIT_PAGER": "cat",
        "GIT_SSH_COMMAND": "false",
        "GIT_SSH_VARIANT": "ssh",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_MERGE_AUTOEDIT": "no",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_TEMPLATE_DIR": "",
        "GIT_CEILING_DIRECTORIES": str(home.parent),
        "GIT_AUTHOR_NAME": "Operator Cockpit",
        "GIT_AUTHOR_EMAIL": "cockpit@localhost",
        "GIT_COMMITTER_NAME": "Operator Cockpit",
        "GIT_COMMITTER_EMAIL": "cockpit@localhost",
    }
    environment.update(_as_variables({**_OVERRIDES, **(settings or {})}))
    return environment


def _as_variables(settings: Mapping[str, str]) -> dict[str, str]:
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables
