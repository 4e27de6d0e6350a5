"""The local forge's answers in the whole shape that GitHub's REST description asks for. Pure."""

import zlib
from dataclasses import asdict, dataclass
from typing import Any

Json = dict[str, Any]
# The paths below a repository, a pull request and a user that GitHub's answers name.
_REPOSITORY_URLS = (
    *("archive", "assignees", "blobs", "branches", "collaborators", "comments", "commits"),
    *("compare", "contents", "contributors", "deployments", "downloads", "events", "forks"),
    *("git_commits", "git_refs", "git_tags", "hooks", "issue_comment", "issue_events", "issues"),
    *("keys", "labels", "languages", "merges", "milestones", "notifications", "pulls"),
    *("releases", "stargazers", "statuses", "subscribers", "subscription", "tags", "teams"),
    "trees",
)
_USER_URLS = (
    *("events", "followers", "following", "gists", "organizations", "received_events"),
    *("repos", "starred", "subscriptions"),
)
_NOTHING = ("description", "homepage", "language", "license", "mirror_url")
_NO = (
    *("archived", "disabled", "fork", "private", "has_pages", "has_wiki", "has_projects"),
    *("has_issues", "has_downloads", "has_discussions"),
)
_ZERO = (
    *("forks", "forks_count", "open_issues", "open_issues_count", "size", "stargazers_count"),
    *("watchers", "watchers_count", "network_count", "subscribers_count"),
)
_BEGINNING = "2020-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request as the local forge keeps it.

    Attributes:
        repository: ``owner/name``.
        at: when it was opened, ISO 8601 in UTC.
    """

    repository: str
    number: int
    title: str
    body: str
    draft: bool
    head: str
    base: str
    head_sha: str
    base_sha: str
    at: str
    state: str = "open"

    def stored(self) -> Json:
        """As it goes into the file."""
        return asdict(self)


def user(root: str, login: str) -> Json:
    """A user of the forge."""
    here = f"{root}/users/{login}"
    return {
        "id": _number_of(login),
        "node_id": f"U_{login}",
        "login": login,
        "type": "User",
        "site_admin": False,
        "avatar_url": f"{root}/avatars/{login}",
        "gravatar_id": "",
        "url": here,
        "html_url": f"{root}/{login}",
        **{f"{name}_url": f"{here}/{name}" for name in _USER_URLS},
    }


def repository(root: str, full_name: str, default_branch: str) -> Json:
    """A repository of the forge."""
    owner, _, name = full_name.partition("/")
    here, page = f"{root}/repos/{full_name}", f"{root}/{full_name}"
    plain: Json = {
        **dict.fromkeys(_NOTHING),
        **dict.fromkeys(_NO, False),
        **dict.fromkeys(_ZERO, 0),
        **{f"{part}_url": f"{here}/{part}" for part in _REPOSITORY_URLS},
        **dict.fromkeys(("clone_url", "git_url", "ssh_url", "svn_url"), f"{page}.git"),
    }
    return {
        **plain,
        "id": _number_of(full_name),
        "node_id": f"R_{_number_of(full_name)}",
        "name": name,
        "full_name": full_name,
        "owner": user(root, owner),
        "url": here,
        "html_url": page,
        "default_branch": default_branch,
        **dict.fromkeys(("created_at", "updated_at", "pushed_at"), _BEGINNING),
    }


def pull_request(root: str, pull: Pull, default_branch: str) -> Json:
    """A pull request, with all that a list and a single answer tell."""
    links = _links(root, pull)
    owner = pull.repository.partition("/")[0]
    whole = repository(root, pull.repository, default_branch)

    def side(ref: str, sha: str) -> Json:
        return {
            "label": f"{owner}:{ref}",
            "ref": ref,
            "sha": sha,
            "user": user(root, owner),
            "repo": whole,
        }

    return {
        "id": _number_of(f"{pull.repository}#{pull.number}"),
        "node_id": f"PR_{pull.number}",
        "number": pull.number,
        "state": pull.state,
        "draft": pull.draft,
        "locked": False,
        "title": pull.title,
        "body": pull.body,
        "user": user(root, owner),
        "head": side(pull.head, pull.head_sha),
        "base": side(pull.base, pull.base_sha),
        "created_at": pull.at,
        "updated_at": pull.at,
        "author_association": "OWNER",
        "labels": [],
        **_not_yet(),
        **_urls(links),
        "_links": {name: {"href": url} for name, url in links.items()},
    }


def _not_yet() -> Json:
    """What comes with a review or a merge, of which this forge has none."""
    empty = ("closed_at", "merged_at", "merge_commit_sha", "merged_by", "assignee", "milestone")
    zero = ("additions", "changed_files", "comments", "commits", "deletions", "review_comments")
    return {
        **dict.fromkeys((*empty, "auto_merge", "mergeable")),
        **dict.fromkeys(zero, 0),
        "mergeable_state": "draft",
        "merged": False,
        "maintainer_can_modify": False,
    }


def _links(root: str, pull: Pull) -> dict[str, str]:
    here = f"{root}/repos/{pull.repository}"
    this = f"{here}/pulls/{pull.number}"
    issue = f"{here}/issues/{pull.number}"
    return {
        "self": this,
        "html": f"{root}/{pull.repository}/pull/{pull.number}",
        "issue": issue,
        "comments": f"{issue}/comments",
        "review_comments": f"{this}/comments",
        "review_comment": f"{here}/pulls/comments/1",
        "commits": f"{this}/commits",
        "statuses": f"{here}/statuses/{pull.head_sha}",
    }


def _urls(links: dict[str, str]) -> Json:
    names = ("issue", "comments", "review_comments", "review_comment", "commits", "statuses")
    page = links["html"]
    return {
        "url": links["self"],
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        **{f"{name}_url": links[name] for name in names},
    }


def invalid(code: str, *, field: str = "", message: str = "") -> Json:
    """Why a request is refused, as GitHub says it."""
    error = {"resource": "PullRequest", "code": code}
    error |= {"field": field} if field else {}
    error |= {"message": message} if message else {}
    return {"message": "Validation Failed", "errors": [error], "documentation_url": ""}


def refusal(message: str) -> Json:
    """Any other error."""
    return {"message": message, "documentation_url": ""}


def _number_of(name: str) -> int:
    """A number that stays the same for a name."""
    return zlib.crc32(name.encode()) or 1
