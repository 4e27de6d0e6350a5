"""Kinds of repositories that operators have, each built by real git in a folder of a test."""

import hashlib
import os
import stat
import subprocess
from pathlib import Path

_ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "LANG": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Zoe",
    "GIT_AUTHOR_EMAIL": "zoe@example.org",
    "GIT_AUTHOR_DATE": "@1700000000 +0000",
    "GIT_COMMITTER_NAME": "Zoe",
    "GIT_COMMITTER_EMAIL": "zoe@example.org",
    "GIT_COMMITTER_DATE": "@1700000000 +0000",
}
LFS_POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def git(*args: str | bytes | Path, cwd: Path, stdin: bytes = b"") -> str:
    """Run git in ``cwd`` as a test's operator; its output without the last newline."""
    done = subprocess.run(
        ["git", *args], cwd=cwd, env=_ENVIRONMENT, input=stdin, capture_output=True, check=False
    )
    assert done.returncode == 0, (args, done.stderr.decode("utf-8", "replace"))
    return os.fsdecode(done.stdout).removesuffix("\n")


def commit(folder: Path, message: str = "change") -> str:
    """Commit everything in ``folder``; the new commit."""
    git("add", "-A", cwd=folder)
    git("commit", "-q", "--allow-empty", "-m", message, cwd=folder)
    return git("rev-parse", "HEAD", cwd=folder)


def empty(folder: Path, *options: str) -> Path:
    """A repository without a commit."""
    folder.mkdir(parents=True)
    git("init", "-q", "-b", "main", *options, ".", cwd=folder)
    return folder


def plain(folder: Path, *options: str) -> Path:
    """Two commits, a folder, an executable, a symlink and an ignore file."""
    empty(folder, *options)
    (folder / "README.md").write_text("# Harbour\n")
    (folder / ".gitignore").write_text("*.log\nbuild/\n")
    commit(folder, "first")
    (folder / "src").mkdir()
    (folder / "src" / "app.py").write_text("print('one')\nprint('two')\n")
    (folder / "run.sh").write_text("#!/bin/sh\nexit 0\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("src/app.py")
    commit(folder, "second")
    return folder


def bare(folder: Path) -> Path:
    """A bare repository with commits."""
    source = plain(folder.with_name(f"{folder.name}-source"))
    git("clone", "-q", "--bare", source, folder, cwd=source)
    return folder


def detached(folder: Path) -> Path:
    """A checkout on no branch."""
    plain(folder)
    git("checkout", "-q", "--detach", cwd=folder)
    return folder


def dirty(folder: Path) -> Path:
    """Staged, unstaged and untracked changes."""
    plain(folder)
    (folder / "README.md").write_text("# Changed\n")
    (folder / "src" / "app.py").write_text("print('staged')\n")
    git("add", "src/app.py", cwd=folder)
    (folder / "new.txt").write_text("new\n")
    return folder


def cloned(folder: Path, *options: str) -> Path:
    """A clone of a served plain repository, so that shallow and partial ones are real."""
    source = plain(folder.with_name(f"{folder.name}-source"))
    git("config", "uploadpack.allowFilter", "true", cwd=source)
    git("clone", "-q", *options, f"file://{source}", folder, cwd=source)
    return folder


def shallow(folder: Path) -> Path:
    """A clone of depth one."""
    return cloned(folder, "--depth=1")


def partial(folder: Path) -> Path:
    """A clone without blobs but those checked out."""
    return cloned(folder, "--filter=blob:none")


def sparse(folder: Path) -> Path:
    """A checkout that shows one folder."""
    plain(folder)
    git("sparse-checkout", "set", "src", cwd=folder)
    return folder


def submodules(folder: Path) -> Path:
    """One submodule, checked out."""
    inner = plain(folder.with_name(f"{folder.name}-inner"))
    plain(folder)
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", inner, "lib", cwd=folder)
    commit(folder, "submodule")
    return folder


def lfs(folder: Path) -> Path:
    """A pointer file and the attributes that call for the LFS filter."""
    plain(folder)
    (folder / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (folder / "big.bin").write_text(LFS_POINTER)
    commit(folder, "lfs")
    return folder


def sha256(folder: Path) -> Path:
    """Object names of 64 digits."""
    return plain(folder, "--object-format=sha256")


def linked(folder: Path) -> Path:
    """A worktree of a worktree's repository."""
    main = plain(folder.with_name(f"{folder.name}-main"))
    middle = folder.with_name(f"{folder.name}-middle")
    git("worktree", "add", "-q", "-b", "middle", middle, cwd=main)
    git("worktree", "add", "-q", "-b", "side", folder, cwd=middle)
    return folder


def strange_names(folder: Path) -> Path:
    """Names that are no UTF-8, hold newlines, quotes, colons, or begin with a dash."""
    plain(folder)
    for name in (
        b"caf\xe9.txt",
        b"two\nlines",
        b'"quoted"',
        b":(top)x",
        b"-rf",
        b"tab\there",
        b"a b",
    ):
        (folder / os.fsdecode(name)).write_bytes(b"content\n")
    (folder / os.fsdecode(b"d\xff\n")).mkdir()
    (folder / os.fsdecode(b"d\xff\n") / "inner").write_bytes(b"x\n")
    commit(folder, "names")
    return folder


def symlinks(folder: Path) -> Path:
    """Many symlinks: out, absolute, to folders, in circles, to nothing."""
    plain(folder)
    for name, target in (
        ("out", "../../outside"),
        ("absolute", "/etc/passwd"),
        ("folder", "src"),
        ("circle", "circle"),
        ("nothing", "no/such/file"),
    ):
        (folder / name).symlink_to(target)
    commit(folder, "links")
    return folder


def packed(folder: Path) -> Path:
    """Everything in one pack, refs packed too."""
    plain(folder)
    git("gc", "-q", "--prune=now", cwd=folder)
    return folder


def split_index(folder: Path) -> Path:
    """An index in two files, with an untracked cache."""
    plain(folder)
    git("update-index", "--split-index", "--untracked-cache", cwd=folder)
    return folder


def hooked(folder: Path, canary: Path) -> Path:
    """Every kind of local setting, hook and filter that can start a program: ``touch canary``."""
    plain(folder)
    (folder / ".gitattributes").write_text("*.py filter=evil diff=evil merge=evil\n")
    commit(folder, "attributes")
    booby_trap(folder / ".git", canary)
    return folder


def booby_trap(git_dir: Path, canary: Path) -> None:
    """Make every way that a git folder has of starting a program touch ``canary``."""
    run = f"touch '{canary}'; cat"
    script = git_dir.parent / "trap.sh" if git_dir.name != ".git" else git_dir / "trap.sh"
    script.write_text(f"#!/bin/sh\ntouch '{canary}'\nexit 0\n")
    script.chmod(0o755)
    (git_dir / "hooks").mkdir(exist_ok=True)
    for hook in HOOKS:
        file = git_dir / "hooks" / hook
        file.write_text(script.read_text())
        file.chmod(0o755)
    (git_dir / "included").write_text(f'[core]\n\tfsmonitor = "{script}"\n')
    with (git_dir / "config").open("a") as config:
        config.write(
            f'[core]\n\tfsmonitor = "{script}"\n\tsshCommand = "{script}"\n'
            f'\thooksPath = "{git_dir / "hooks"}"\n\tpager = "{script}"\n\teditor = "{script}"\n'
            f'\talternateRefsCommand = "{script}"\n\taskPass = "{script}"\n'
            f'\tgitProxy = "{script}"\n'
            f'[include]\n\tpath = "{git_dir / "included"}"\n'
            f'[filter "evil"]\n\tclean = "{run}"\n\tsmudge = "{run}"\n\tprocess = "{script}"\n'
            "\trequired = true\n"
            f'[diff]\n\texternal = "{script}"\n[diff "evil"]\n\ttextconv = "{run}"\n'
            f'\tcommand = "{script}"\n'
            f'[merge "evil"]\n\tdriver = "{script} %O %A %B"\n'
            f'[uploadpack]\n\tpackObjectsHook = "{script}"\n'
            f'[credential]\n\thelper = "!{script}"\n'
            f'[url "ext::{script} "]\n\tinsteadOf = "/"\n\tinsteadOf = "file://"\n'
            f'\tinsteadOf = "https://"\n'
            f'[protocol "ext"]\n\tallow = always\n'
            f'[gpg]\n\tprogram = "{script}"\n[commit]\n\tgpgSign = true\n'
            f'[alias]\n\tstatus = "!{script}"\n\tfetch = "!{script}"\n'
        )


HOOKS = (
    "post-checkout",
    "pre-commit",
    "commit-msg",
    "post-commit",
    "post-merge",
    "pre-push",
    "pre-receive",
    "update",
    "post-update",
    "reference-transaction",
    "post-index-change",
    "fsmonitor-watchman",
    "pre-auto-gc",
    "post-rewrite",
    "push-to-checkout",
)


def snapshot(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Mode, time of change and content digest of everything in ``folder``, ``.git`` included."""
    found: dict[str, tuple[int, int, str]] = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root) / name
            seen = path.lstat()
            if stat.S_ISLNK(seen.st_mode):
                digest = str(path.readlink())
            elif stat.S_ISREG(seen.st_mode):
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                digest = ""
            found[str(path.relative_to(folder))] = (seen.st_mode, seen.st_mtime_ns, digest)
    return found
