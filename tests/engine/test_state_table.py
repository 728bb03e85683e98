"""The state machine against RFC 7401 section 4.4.4, tables 2 to 9, written down a second time."""

from __future__ import annotations

import ast
from pathlib import Path

import hipgw.proto
from hipgw.proto import TRANSITIONS, State, Trigger

RFC_7401 = """
UNASSOCIATED  DATA_TO_SEND       I1-SENT
UNASSOCIATED  I1_RECEIVED        UNASSOCIATED
UNASSOCIATED  I2_VALID           R2-SENT
I1-SENT       I1_RECEIVED        I1-SENT
I1-SENT       I2_VALID           R2-SENT
I1-SENT       R1_OTHER_SUITE     I1-SENT
I1-SENT       R1_VALID           I2-SENT
I1-SENT       RETRY              I1-SENT
I1-SENT       RETRIES_OVER       E-FAILED
I2-SENT       I1_RECEIVED        I2-SENT
I2-SENT       R1_VALID           I2-SENT
I2-SENT       I2_VALID           R2-SENT
I2-SENT       R2_VALID           ESTABLISHED
I2-SENT       CLOSE_VALID        CLOSED
I2-SENT       RETRY              I2-SENT
I2-SENT       RETRIES_OVER       E-FAILED
R2-SENT       I1_RECEIVED        R2-SENT
R2-SENT       I2_VALID           R2-SENT
R2-SENT       DATA_RECEIVED      ESTABLISHED
R2-SENT       UPDATE_VALID       ESTABLISHED
R2-SENT       EXCHANGE_COMPLETE  ESTABLISHED
R2-SENT       CLOSE_VALID        CLOSED
R2-SENT       NOTIFY_VALID       R2-SENT
ESTABLISHED   I1_RECEIVED        ESTABLISHED
ESTABLISHED   I2_VALID           R2-SENT
ESTABLISHED   DATA_RECEIVED      ESTABLISHED
ESTABLISHED   UPDATE_VALID       ESTABLISHED
ESTABLISHED   NOTIFY_VALID       ESTABLISHED
ESTABLISHED   IDLE               CLOSING
ESTABLISHED   CLOSE_VALID        CLOSED
ESTABLISHED   UPDATE_UNANSWERED  CLOSING
CLOSING       DATA_TO_SEND       I1-SENT
CLOSING       I1_RECEIVED        CLOSING
CLOSING       I2_VALID           R2-SENT
CLOSING       R1_VALID           I2-SENT
CLOSING       CLOSE_VALID        CLOSED
CLOSING       CLOSE_ACK_VALID    UNASSOCIATED
CLOSING       RETRY              CLOSING
CLOSING       RETRIES_OVER       UNASSOCIATED
CLOSED        DATA_TO_SEND       CLOSED
CLOSED        I1_RECEIVED        CLOSED
CLOSED        I2_VALID           R2-SENT
CLOSED        R1_VALID           I2-SENT
CLOSED        CLOSE_VALID        CLOSED
CLOSED        CLOSE_ACK_VALID    UNASSOCIATED
CLOSED        HOLD_OVER          UNASSOCIATED
E-FAILED      HOLD_OVER          UNASSOCIATED
"""

OURS = """
I1-SENT       R1_UNACCEPTABLE    E-FAILED
I1-SENT       CLOSE_REQUESTED    UNASSOCIATED
I2-SENT       NOTIFY_VALID       I2-SENT
I2-SENT       CERTIFICATE_REFUSED E-FAILED
R2-SENT       CLOSE_REQUESTED    CLOSING
R2-SENT       CERTIFICATE_REFUSED CLOSING
ESTABLISHED   CERTIFICATE_REFUSED CLOSING
R2-SENT       GIVE_WAY           UNASSOCIATED
ESTABLISHED   GIVE_WAY           UNASSOCIATED
ESTABLISHED   CLOSE_REQUESTED    CLOSING
CLOSED        RETRY              CLOSED
CLOSED        RETRIES_OVER       E-FAILED
CLOSED        R1_UNACCEPTABLE    E-FAILED
E-FAILED      I1_RECEIVED        E-FAILED
E-FAILED      CLOSE_REQUESTED    UNASSOCIATED
"""


def rows(text: str) -> dict[tuple[State, Trigger], State]:
    moves = {}
    for line in text.split("\n"):
        if line:
            state, trigger, after = line.split()
            moves[State(state), Trigger[trigger]] = State(after)
    return moves


def test_every_row_of_the_rfc_is_in_the_table() -> None:
    for pair, after in rows(RFC_7401).items():
        assert TRANSITIONS.get(pair) is after, pair


def test_the_table_has_no_row_that_is_not_written_down_here() -> None:
    assert dict(TRANSITIONS) == rows(RFC_7401) | rows(OURS)


def test_every_pair_of_state_and_trigger_is_a_move_or_a_refusal() -> None:
    for state in State:
        for trigger in Trigger:
            assert TRANSITIONS.get((state, trigger)) in {None, *State}


def test_every_state_can_be_reached_and_left() -> None:
    reached = {State.UNASSOCIATED}
    while True:
        more = {after for (state, _), after in TRANSITIONS.items() if state in reached}
        if more <= reached:
            break
        reached |= more
    assert reached == set(State)
    for state in State:
        assert any(after is not state for (at, _), after in TRANSITIONS.items() if at is state)


def test_states_are_spelled_as_in_the_rfc() -> None:
    assert [str(state) for state in State] == [
        "UNASSOCIATED",
        "I1-SENT",
        "I2-SENT",
        "R2-SENT",
        "ESTABLISHED",
        "CLOSING",
        "CLOSED",
        "E-FAILED",
    ]


def test_only_move_and_note_assign_a_state() -> None:
    places = []
    for file in sorted(Path(hipgw.proto.__file__).parent.glob("*.py")):
        for function in ast.walk(ast.parse(file.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                targets = node.targets if isinstance(node, ast.Assign) else []
                if any(isinstance(one, ast.Attribute) and one.attr == "_state" for one in targets):
                    places.append((file.name, function.name))
    assert places == [("association.py", "move"), ("locators.py", "note")]
