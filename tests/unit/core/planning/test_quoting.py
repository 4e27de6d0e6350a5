"""Hostile text stays text: read back with a real Markdown parser."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from core.planning.quoting import block, cut, fenced, forbidden_character, inline, quote, visible

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = st.lists(
    st.sampled_from(
        [
            "#",
            "##",
            " ",
            "  ",
            "    ",
            "\n",
            "\n\n",
            "- ",
            "* ",
            "1. ",
            "12) ",
            "> ",
            "`",
            "``",
            "```",
            "~~~",
            "|",
            "---",
            "===",
            "[a](b)",
            "![",
            "](javascript:x)",
            "<script>",
            "</b>",
            "<!--",
            "-->",
            "&lt;",
            "&#35;",
            "\\",
            "*a*",
            "_b_",
            "__",
            "~~",
            "http://x.y",
            "www.x.y",
            "a@b.c",
            "\t",
            "\r",
            "[x]: /u",
            "\x00",
            "\u202e",
            "\u2028",
            "中文",
            "a",
            "a_b",
            "$x$",
            ":",
            "+ ",
            "=",
        ]
    )
    | st.text(max_size=4),
    max_size=14,
).map("".join)
SAFE_INLINE = {"text", "text_special", "code_inline", "softbreak", "hardbreak"}


def flat(markdown: str) -> list[Token]:
    tokens: list[Token] = []
    for token in PARSER.parse(markdown):
        tokens.append(token)
        tokens += token.children or []
    return tokens


def shown(markdown: str) -> str:
    return "".join(each.content for each in flat(markdown) if each.type != "inline")


@given(HOSTILE)
@example("`a` # b | <i> `` ` ``")
@example("\\`a`")
@example("`\\`b`")
def test_an_inline_text_is_one_paragraph_that_reads_as_itself(text: str) -> None:
    markdown = f"- {inline(text)}\n"
    types = {each.type for each in flat(markdown)}
    assert types <= SAFE_INLINE | {
        "bullet_list_open",
        "bullet_list_close",
        "list_item_open",
        "list_item_close",
        "paragraph_open",
        "paragraph_close",
        "inline",
    }
    assert "\n" not in inline(text)
    expected = "".join(visible(text).split()).replace("`", "")
    assert "".join(shown(markdown).split()).replace("`", "") == expected


@given(HOSTILE)
def test_a_block_holds_paragraphs_only(text: str) -> None:
    types = {each.type for each in flat(block(text))}
    assert types <= SAFE_INLINE | {"paragraph_open", "paragraph_close", "inline"}


@given(HOSTILE)
def test_a_quote_is_not_left(text: str) -> None:
    markdown = f"before\n\n{quote(text)}\n\n# after\n"
    tokens = PARSER.parse(markdown)
    top = [each.type for each in tokens if each.level == 0]
    assert top == [
        "paragraph_open",
        "inline",
        "paragraph_close",
        "blockquote_open",
        "blockquote_close",
        "heading_open",
        "inline",
        "heading_close",
    ] or top == [
        "paragraph_open",
        "paragraph_close",
        "blockquote_open",
        "blockquote_close",
        "heading_open",
        "heading_close",
    ]


def test_code_keeps_its_ticks_and_names_stay_readable() -> None:
    assert (
        inline("Running `tool --version` prints 1.2.3") == "Running `tool --version` prints 1.2.3"
    )
    assert inline("rename my_file to your_file") == "rename my_file to your_file"
    assert inline("http://x.y and WWW.x.y and a@b.c") == "http\\://x.y and WWW\\.x.y and a\\@b.c"
    assert inline("# no heading") == "\\# no heading"
    assert inline("1. no list") == "1\\. no list"


@given(text=st.text(), marks=st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3))
def test_a_fence_cannot_be_closed_from_inside(text: str, marks: list[str]) -> None:
    given_marks = iter(marks)
    whole = fenced("file", text + " DATA a>>> DATA a-b>>>", lambda _: next(given_marks, "z"))
    opening, *body, closing = whole.split("\n")
    mark = opening.split(" ")[1]
    assert closing == f"DATA {mark}>>>"
    assert mark not in "\n".join(body)


def test_forbidden_characters() -> None:
    assert forbidden_character("a\nb", lines=True) is None
    assert forbidden_character("a\nb", lines=False) == "\n"
    assert forbidden_character("a\u202eb", lines=True) == "\u202e"
    assert forbidden_character("家族👨‍👩‍👧", lines=False) is None
    assert visible("a\x00\ud800\r\nb") == "a\ufffd\ufffd\nb"


@pytest.mark.parametrize(
    ("limit", "said"), [(10, "abcdef"), (3, "abc\n[cut here: 3 more characters]")]
)
def test_what_is_cut_is_said(limit: int, said: str) -> None:
    assert cut("abcdef", limit) == said
