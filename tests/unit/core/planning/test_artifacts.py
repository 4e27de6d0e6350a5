"""The documents: what they hold, and that words of others cannot forge their structure."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from core.planning.artifacts import (
    ArtifactHeader,
    Clarified,
    clarified_spec,
    compare,
    documents,
    render_prd,
)
from core.planning.criteria import Criterion
from core.planning.plan import Adr, Milestone, Plan, PlannedTask, Prd, parse_plan

PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")
AT = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
HEADER = ArtifactHeader("Print the version", "harbor", "main @ 3f9c2d1", 2, "planner", AT, 4)
CRITERIA = (
    Criterion(id="C1", text="Running `t -v` prints `1`", source="stated"),
    Criterion(id="C2", text="b", source="answered"),
    Criterion(id="C3", text="c", source="proposed").confirm("operator", AT),
    Criterion(id="C4", text="d", source="proposed"),
)


def headings(markdown: str) -> list[tuple[str, str]]:
    tokens = PARSER.parse(markdown)
    return [
        (token.tag, tokens[place + 1].content)
        for place, token in enumerate(tokens)
        if token.type == "heading_open"
    ]


def test_a_prd_shows_every_criterion_with_source_and_state(plan_json: dict[str, Any]) -> None:
    prd = render_prd(parse_plan(plan_json), CRITERIA, HEADER)
    assert (
        "PRD v2 · harbor · main \\@ 3f9c2d1 · by planner, from 4 answers · 2026-03-04 05:06 UTC"
        in prd
    )
    assert "- **C1** Running `t -v` prints `1` — *stated by you*" in prd
    assert "- **C2** b — *your answer*" in prd
    assert "- **C3** c — *proposed, confirmed by operator, 2026-03-04 05:06 UTC*" in prd
    assert "- **C4** d — *proposed, not confirmed*" in prd
    assert [each for _, each in headings(prd)] == [
        "Print the version",
        "Summary",
        "Goals",
        "Non-goals",
        "Acceptance criteria",
        "Risks",
        "Rollback",
    ]


def test_a_roadmap_shows_tasks_and_why_they_wait(plan_json: dict[str, Any]) -> None:
    plan = parse_plan(plan_json)
    roadmap = documents(plan, CRITERIA, HEADER, reasons={"T1": ["schema", "ci"]})["roadmap.md"]
    assert "1. **Version** — It is printed. (T1, T2)" in roadmap
    assert "- Checkpoint: schema, ci" in roadmap
    assert "- Checkpoint: asked for by the planner" in roadmap
    assert "- Depends on: T1" in roadmap
    assert (
        roadmap == documents(plan, CRITERIA, HEADER, reasons={"T1": ["schema", "ci"]})["roadmap.md"]
    )


def test_the_clarified_spec_holds_what_was_agreed() -> None:
    spec = clarified_spec(
        "Fees",
        CRITERIA,
        target=["src/fees.py"],
        scope=["Nothing else"],
        answers=[Clarified("When is this done?", "# Forged\n\n- [ ] **C9** x\n<b>")],
    )
    assert "**C3**" in spec
    assert "**C4**" not in spec
    assert [each for _, each in headings(spec)] == [
        "Clarified spec: Fees",
        "Acceptance criteria",
        "Target",
        "Scope",
        "Questions and answers",
    ]
    assert "   > \\# Forged" in spec


WILD = st.text(max_size=30) | st.sampled_from(
    [
        "# X",
        "a\n\n# X",
        "a\n===",
        "- **C9** x",
        "| a | b |\n|---|---|",
        "<h1>x</h1>",
        "```\n# x",
        "1. x",
        "> x",
        "[x]: y",
        "\n---\n",
        "    code",
        "a\u2028# b",
        "</ul>",
    ]
)


def wild_plan(text: str) -> Plan:
    """A plan whose every text is ``text``, made without the parser that would refuse some."""
    one = (text,)
    return Plan.model_construct(
        prd=Prd.model_construct(
            summary=text,
            goals=one,
            non_goals=one,
            acceptance_criteria=one,
            risks=one,
            rollback=text,
        ),
        adr=Adr.model_construct(title=text, context=text, decision=text, consequences=one),
        roadmap=(Milestone.model_construct(title=text, outcome=text, tasks=("T1",)),),
        tasks=(
            PlannedTask.model_construct(
                id="T1",
                title=text,
                role=text,
                depends_on=(),
                context_files=one,
                write_files=one,
                acceptance=one,
                expected_evidence=one,
                checkpoint=True,
            ),
        ),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(WILD)
def test_no_text_forges_structure(text: str) -> None:
    header = ArtifactHeader(text, text, text, 1, text, AT)
    criteria = [Criterion(id="C1", text=text, source="stated")] if text else []
    written = documents(wild_plan(text), criteria, header, reasons={"T1": [text]})
    plain = documents(wild_plan("x"), criteria and CRITERIA[:1], HEADER, reasons={"T1": ["x"]})
    for name, markdown in written.items():
        assert [tag for tag, _ in headings(markdown)] == [tag for tag, _ in headings(plain[name])]
        types = {
            each.type
            for token in PARSER.parse(markdown)
            for each in (token, *(token.children or ()))
        }
        assert not types & {
            "html_block",
            "html_inline",
            "link_open",
            "image",
            "table_open",
            "fence",
            "code_block",
            "hr",
            "blockquote_open",
        }


def test_versions_are_compared_by_blocks() -> None:
    changes = compare("# A\n\none\n\ntwo\n\nend\n", "# A\n\none\n\n2\n\nend\n\nmore\n")
    assert [(each.kind, each.old, each.new) for each in changes] == [
        ("equal", ("# A", "one"), ("# A", "one")),
        ("changed", ("two",), ("2",)),
        ("equal", ("end",), ("end",)),
        ("added", (), ("more",)),
    ]
    assert compare("", "") == ()
    assert [each.kind for each in compare("a", "")] == ["removed"]
