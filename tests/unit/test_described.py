"""What the fields of a spec mean is read from its source, when somebody asks."""

from __future__ import annotations

from pydantic import Field

from bus.described import Spec, described, docstrings


class Parent(Spec):
    """A spec."""

    first: str = ""
    """What the first means.

    At length.
    """

    second: str = Field("", description="told in the field")
    """Not read."""


class Child(Parent):
    """A spec that has fields of another one, and declares one of them again."""

    third: str = Field("", alias="3rd")
    """What the third means."""
    fourth: str = ""


def test_fields_are_described_by_the_text_under_them() -> None:
    fields = described(Child).model_fields
    assert fields["first"].description == "What the first means.\n\nAt length."
    assert fields["second"].description == "told in the field"
    assert fields["third"].description == "What the third means."
    assert fields["fourth"].description is None


def test_a_field_that_is_declared_again_is_described_anew_or_not_at_all() -> None:
    class Again(Parent):
        """A class inside a function."""

        first: str = "1"

    class Anew(Parent):
        """Another one."""

        first: str = "1"
        """Anew."""

    assert described(Again).model_fields["first"].description is None
    assert described(Anew).model_fields["first"].description == "Anew."


def test_json_schema_tells_what_fields_mean_under_the_keys_that_are_written() -> None:
    properties = Child.model_json_schema()["properties"]
    assert properties["first"]["description"] == "What the first means.\n\nAt length."
    assert properties["3rd"]["description"] == "What the third means."
    assert "description" not in properties["fourth"]


def test_a_module_without_source_has_no_docstrings() -> None:
    assert docstrings("builtins") == {}
    assert docstrings("no.such.module") == {}
