"""domain.md §4: which words are vague, unbounded, or name a place in the repo."""

import pytest

from core.planning.clarification import Assessment, ClarificationPolicy, GateInput, assess
from core.planning.questions import GateField
from core.planning.wording import RepoSurface


def present(assessment: Assessment) -> list[str]:
    return [each.id for each in assessment.signals if each.present]


def words(assessment: Assessment, field: GateField) -> list[str]:
    return [hit.text for each in assessment.signals if each.field == field for hit in each.hits]


@pytest.mark.parametrize(
    "word",
    [
        "improve",
        "better",
        "polish",
        "nice",
        "nicer",
        "clean up",
        "various",
        "and so on",
        "stuff",
        "enhance",
        "optimise",
        "optimize",
        "make it nice",
        "make it good",
        "make it work",
        "IMPROVE",
        "Clean  Up",
        "ｉｍｐｒｏｖｅ",
    ],
)
def test_vague_words_of_the_rules(policy: ClarificationPolicy, word: str) -> None:
    found = assess(GateInput(f"Please {word} `f`."), policy)
    assert "vague_wording" in present(found)


@pytest.mark.parametrize(
    "word",
    [
        "everything",
        "all the files",
        "all the code",
        "all the tests",
        "all the things",
        "whole codebase",
        "whole repo",
        "whole project",
        "whole app",
        "entire",
        "rewrite",
        "from scratch",
    ],
)
def test_unbounded_words_of_the_rules(policy: ClarificationPolicy, word: str) -> None:
    assert "unbounded_scope" in present(assess(GateInput(f"({word.upper()}) of it"), policy))


@pytest.mark.parametrize(
    "text",
    [
        "niceness, betterment, improved, polished, rewriter, entirety, unimproved",
        "fix `improve everything` in the parser",
        "fix\n```\nimprove everything\n```\nin the parser",
        "fix\n~~~~ text\nmake it better\n~~~\n~~~~\nnow",
        "fix ``improve ` everything`` now",
        "rename better.py and entire.md",
    ],
)
def test_parts_of_words_and_code_are_not_read(policy: ClarificationPolicy, text: str) -> None:
    assert not {"vague_wording", "unbounded_scope"} & set(
        present(assess(GateInput("Title", text), policy))
    )


@pytest.mark.parametrize(
    "text",
    [
        "```\nimprove everything",
        "`improve everything",
        "a ` b\n\nimprove everything ` c",
        "~~~\nimprove everything\n```",
        "\\`improve everything\\`",
    ],
)
def test_code_that_is_not_closed_hides_nothing(policy: ClarificationPolicy, text: str) -> None:
    found = present(assess(GateInput("Title", text), policy))
    assert {"vague_wording", "unbounded_scope"} <= set(found)


@pytest.mark.parametrize(
    ("text", "vague", "unbounded"),
    [
        ("让重试更好", ["更好"], []),
        ("优化整个项目", ["优化"], ["整个"]),
        ("从零重写登录", [], ["从零", "重写"]),
        ("让UI更nice一点", ["nice"], []),
        ("变更好友列表", [], []),
        ("一切换主题就崩溃", [], []),
        ("完全部署后再检查安全部门的页面", [], []),
        ("全部部署", [], ["全部"]),
        ("从头部读取 token", [], []),
        ("等等待队列清空", [], []),
        ("修复`优化`这个词", [], []),
        ("優化整個專案", ["優化"], ["整個"]),
    ],
)
def test_chinese_has_no_word_boundaries(
    policy: ClarificationPolicy, text: str, vague: list[str], unbounded: list[str]
) -> None:
    found = assess(GateInput(text), policy)
    assert words(found, "done-definition") == vague
    assert words(found, "scope") == unbounded


REPO = RepoSurface.of(["lib/harbor/fees.py", "LICENSE"], {"slugify", "make", "Ledger"})


@pytest.mark.parametrize(
    "text",
    [
        "fix main.py",
        "fix a/b/c.tsx, please",
        "修改main.py文件",
        "看 说明.md",
        "the readme",
        "Dockerfile is wrong",
        "the tests are slow",
        "in src",
        "in docs/",
        "scripts.",
        "call `anything` twice",
        "look in lib/harbor",
        "look in ./lib/harbor/",
        "the LICENSE lies",
        "slugify drops umlauts",
        "Ledger.total is wrong",
    ],
)
def test_what_names_a_target(policy: ClarificationPolicy, text: str) -> None:
    assert "no_target_surface" not in present(assess(GateInput(text, repo=REPO), policy))


@pytest.mark.parametrize(
    "text",
    [
        "use Node.js",
        "see https://example.com/index.html",
        "lib/nothing here",
        "make it so",
        "slugified",
        "e.g. this, i.e. that",
        "`` and ` `",
        "../../etc/passwd",
        "latest documentation, testing",
    ],
)
def test_what_names_no_target(policy: ClarificationPolicy, text: str) -> None:
    everywhere = RepoSurface(lambda path: ".." in path, REPO.symbol_exists)
    found = assess(GateInput(text, repo=everywhere), policy)
    assert "no_target_surface" in present(found), words(found, "target")


@pytest.mark.slow
@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece",
    ["`", "``` x\n", "improve ", "更好", "a.", "a/", "~~~\n", "\\`", "` \n\n", "clean  ", "x://"],
)
def test_long_text_is_read_in_linear_time(policy: ClarificationPolicy, piece: str) -> None:
    found = assess(GateInput("t", piece * (100_000 // len(piece))), policy)
    assert 0 <= found.score <= 100
